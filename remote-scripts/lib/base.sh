# Sourced first by every script: a known environment, the answer's lines, and readers for the two kinds of files.
# Readers use only the shell's builtins: they start no process, and what they read is data, never evaluated.
# shellcheck shell=sh
set -u
umask 077
LC_ALL=C
export LC_ALL

# The field separator, the byte 0x1F itself (a literal, because making it would cost a process).
US=''
LF='
'
# The shell for further scripts (TOWLINE_SH is for the tests only).
# shellcheck disable=SC2034
SH=${TOWLINE_SH:-/bin/sh}

rows=0

# row FIELD…: one line of the answer, written at once.
row() {
    row_line=$1
    shift
    for row_field in "$@"; do row_line=$row_line$US$row_field; done
    rows=$((rows + 1))
    printf '%s\n' "$row_line"
}

# begin / finish: the first and the last line of an answer.
begin() { row towline 1; }
finish() { printf 'end%s%s\n' "$US" "$rows"; }

# usage TEXT: wrong arguments. fail TEXT: the work could not be done.
usage() {
    printf 'usage: %s\n' "$1" >&2
    exit 64
}
fail() {
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    exit 70
}

# clean TEXT: sets $cleaned, TEXT without control characters.
clean() {
    cleaned=$1
    case $cleaned in
        *[[:cntrl:]]*) cleaned=$(printf '%s' "$cleaned" | tr '\001-\037\177' ' ') ;;
    esac
}

# is_name TEXT: true if it can be a UID, an agent's or a container's name: one harmless path component.
is_name() {
    case $1 in
        '' | .* | -* | *[!A-Za-z0-9._-]*) return 1 ;;
    esac
}

# is_number TEXT
is_number() {
    case $1 in
        '' | *[!0-9]*) return 1 ;;
    esac
}

# What the file `pod` of a pod and the file `container` of a container may say (see README.md).
# shellcheck disable=SC2034
pod_keys='format uid namespace name restart_policy grace_s deadline_s runtime hostname plain_http image_format pull_stall_s share_processes'
# shellcheck disable=SC2034
container_keys='name kind image pull workdir read_only user group stdin tty restart restart_rules message stop_signal ranks capabilities hidden target'

# pairs FILE KEY…: reads lines key=value into variables p_KEY; keys that are absent become empty, others are refused.
pairs() {
    pairs_file=$1
    shift
    pairs_known=" $* "
    for pairs_key in "$@"; do eval "p_$pairs_key="; done
    [ -r "$pairs_file" ] || {
        printf 'failed to read %s\n' "$pairs_file" >&2
        return 1
    }
    while IFS= read -r pairs_line || [ -n "$pairs_line" ]; do
        pairs_key=${pairs_line%%=*}
        case $pairs_key in
            '' | *[!a-z_]*) pairs_key=' ' ;;
        esac
        case $pairs_known in
            *" $pairs_key "*) eval "p_$pairs_key=\${pairs_line#*=}" ;;
            *)
                clean "$pairs_line"
                printf 'failed to read %s: unknown key in the line "%s"\n' "$pairs_file" "$cleaned" >&2
                return 1
                ;;
        esac
    done <"$pairs_file"
}

# with_words FILE COMMAND ARGUMENT…: calls COMMAND with the arguments and then the words of FILE (none if it is absent).
with_words() {
    words_file=$1
    shift
    if [ -e "$words_file" ]; then
        words_any=
        while IFS= read -r words_line || [ -n "$words_line" ]; do
            case $words_line in
                =*)
                    [ -z "$words_any" ] || set -- "$@" "$words_word"
                    words_any=1
                    words_word=${words_line#=}
                    ;;
                +*)
                    words_word=$words_word$LF${words_line#+}
                    ;;
                *)
                    printf 'failed to read %s: a line begins with neither = nor +\n' "$words_file" >&2
                    return 70
                    ;;
            esac
        done <"$words_file"
        [ -z "$words_any" ] || set -- "$@" "$words_word"
    fi
    "$@"
}

# put_words WORD…: prints words in the form that with_words reads.
put_words() {
    for put_word in "$@"; do
        put_mark='='
        while :; do
            case $put_word in
                *"$LF"*) ;;
                *) break ;;
            esac
            printf '%s%s\n' "$put_mark" "${put_word%%"$LF"*}"
            put_word=${put_word#*"$LF"}
            put_mark=+
        done
        printf '%s%s\n' "$put_mark" "$put_word"
    done
}

# first_line FILE: sets $line to its first line, - if there is none.
first_line() {
    line=
    if [ -r "$1" ]; then IFS= read -r line <"$1" || :; fi
    line=${line:--}
}

# find_program NAME: sets $program to the file of this name on the PATH; false if there is none. (What `command -v` prints
# is not a path in a shell with applets of its own.)
find_program() {
    program_rest=$PATH:
    while [ "$program_rest" ]; do
        program=${program_rest%%:*}/$1
        program_rest=${program_rest#*:}
        if [ -f "$program" ] && [ -x "$program" ]; then return 0; fi
    done
    program=
    return 1
}

# own_ids: sets $own_uid and $own_gid to those of the account.
# shellcheck disable=SC2034
own_ids() {
    own_uid='' own_gid=''
    while read -r own_key _ own_value _; do
        case $own_key in
            Uid:) own_uid=$own_value ;;
            Gid:)
                own_gid=$own_value
                break
                ;;
        esac
    done </proc/self/status
}

# await PID: sets $code to the exit code of a child, whatever signals are handled meanwhile.
await() {
    while :; do
        wait "$1"
        code=$?
        [ "$code" -gt 128 ] || return 0
        kill -0 "$1" 2>/dev/null || break
    done
    # That may be the code of a signal that came while the child ended, whose own code is then still to be had.
    # (127, or with bash -1: nobody knows it any more.)
    wait "$1" 2>/dev/null
    await_again=$?
    case $await_again in
        127 | -1) ;;
        *) code=$await_again ;;
    esac
}

# own_pipe: makes a pipe without a name (that of a here-document), open for both directions as file 4. (In a subshell: of that
# subshell alone.)
own_pipe() {
    exec 4<<EOF

EOF
    if [ -p /proc/self/fd/4 ]; then
        exec 4<>/proc/self/fd/4
        read -r _ <&4
    else
        own_fifo=$(mktemp -u "${TMPDIR:-/tmp}/towline.XXXXXX") && mkfifo "$own_fifo" && exec 4<>"$own_fifo" && rm "$own_fifo"
    fi
}

# agent_dir ROOT AGENT: checks both, sets $dir to the agent's directory.
agent_dir() {
    case $1 in
        /*) ;;
        *) usage "the directory must be an absolute path, not: $1" ;;
    esac
    is_name "$2" || usage "not an agent's name: $2"
    dir=$1/agents/$2
}

# remove_tree DIR…: deletes directories, also what containers left there under other (subordinate) owners or modes.
remove_tree() {
    rm -rf -- "$@" 2>/dev/null && return
    chmod -R u+rwX -- "$@" 2>/dev/null
    rm -rf -- "$@" 2>/dev/null && return
    unshare -U --map-auto --map-root-user rm -rf -- "$@" 2>/dev/null || rm -rf -- "$@"
}

# forget_pod UID: takes a pod's directory and reports away (in the agent's $dir): out of sight at once, then deleted.
forget_pod() {
    rm -f -- "$dir/spool/new/$1".* "$dir/spool/tmp/$1".* "$dir/spool/bad/$1".*
    [ -e "$dir/pods/$1" ] || return 0
    mv -- "$dir/pods/$1" "$dir/incoming/removed.$1.$$" || return
    remove_tree "$dir/incoming/removed.$1.$$"
}
