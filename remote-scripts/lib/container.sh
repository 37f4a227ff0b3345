# Sourced by container/NAME: what a container is, read from its directory, for any runtime.
# shellcheck shell=sh

# container POD_DIR CONTAINER_DIR: reads it. A relative CONTAINER_DIR is none. (Of a container with ranks, each has its own
# $failed: pod/rank says in TOWLINE_RANK which one this is.)
# shellcheck disable=SC2034
container() {
    pod=$1 source=$2
    # shellcheck disable=SC2086 # several words
    pairs "$source/container" $container_keys || exit 70
    name=$p_name workdir=$p_workdir read_only=$p_read_only user=${p_user:-root}
    failed=$pod/run/$p_name.failed${TOWLINE_RANK:+.$TOWLINE_RANK}
    is_name "$name" || fail "$source/container has no name"
}

# cannot REASON CODE TEXT: the container cannot be started. The supervisor puts REASON and TEXT into its report.
cannot() {
    clean "$3"
    if [ -n "$failed" ]; then printf '%s%s%s\n' "$1" "$US" "$cleaned" >"$failed"; else printf '%s\n' "$cleaned" >&2; fi
    exit "$2"
}

# rank_of PID: sets $pid to the process to enter, PID or, of a container with ranks, the process of its first one.
rank_of() {
    pid=$1
    if [ -r "$pod/run/$name.rank" ]; then
        first_line "$pod/run/$name.rank"
        pid=$line
    fi
}

# sandbox_of POD_DIR: sets $sandbox to the process that holds the namespaces of the pod, and $sandbox_processes to 1 if its
# containers see each other's processes; $sandbox is empty if there is none. (See lib/sandbox.sh.)
# shellcheck disable=SC2034
sandbox_of() {
    sandbox='' sandbox_processes=''
    if [ -r "$1/run/sandbox" ]; then read -r sandbox sandbox_processes <"$1/run/sandbox"; fi
    [ -z "$sandbox" ] || [ -d "/proc/$sandbox" ] || fail "the process $sandbox that holds the namespaces of the pod has ended"
}

# passed COMMAND: calls COMMAND NAME for each variable of the environment that a rank's container is to have from the batch
# system (TOWLINE_PASS).
passed() {
    [ -n "${TOWLINE_PASS-}" ] || return 0
    passed_rest=$(export -p)$LF
    while [ "$passed_rest" ]; do
        passed_name=${passed_rest%%"$LF"*} passed_rest=${passed_rest#*"$LF"}
        case $passed_name in
            'export '*=*) passed_name=${passed_name#export } ;;
            'declare -x '*=*) passed_name=${passed_name#declare -x } ;;
            *) continue ;;
        esac
        passed_name=${passed_name%%=*}
        case $passed_name in
            *[!A-Za-z0-9_]*) continue ;;
        esac
        for passed_begin in $TOWLINE_PASS; do
            case $passed_name in
                "$passed_begin"*) "$1" "$passed_name" ;;
            esac
        done
    done
}

# inside PATH MAKE: sets $found to what PATH is on this node. PATH is ROOT//PART or ROOT//PART//PART…: no part, by whatever
# link, leads out of what stands before it. MAKE=1: a directory is made where nothing is.
inside() {
    inside_rest=${1#*//} inside_path=$1
    found=$(cd -P -- "${1%%//*}/" 2>/dev/null && pwd -P) || cannot CreateContainerError 128 "failed to mount $1: there is no directory ${1%%//*}"
    while :; do
        inside_part=${inside_rest%%//*} inside_base=${found%/}
        while [ -n "$inside_part" ]; do
            inside_next=${found%/}/${inside_part%%/*}
            case $inside_part in
                */*) inside_part=${inside_part#*/} ;;
                *) inside_part= ;;
            esac
            if [ ! -e "$inside_next" ] && [ ! -L "$inside_next" ]; then
                [ "$2" = 1 ] || cannot CreateContainerError 128 "failed to mount $1: there is no $inside_next"
                (umask 0 && mkdir -- "$inside_next") 2>/dev/null || [ -d "$inside_next" ] ||
                    cannot CreateContainerError 128 "failed to mount $1: failed to make $inside_next"
            fi
            if [ -d "$inside_next" ]; then
                found=$(cd -P -- "$inside_next" && pwd -P) || cannot CreateContainerError 128 "failed to mount $1: failed to enter $inside_next"
                case $found/ in
                    "$inside_base"/*) ;;
                    *) cannot CreateContainerError 128 "failed to mount $1: $inside_next leads out of ${inside_base:-/}" ;;
                esac
            else
                [ ! -L "$inside_next" ] && [ -z "$inside_part" ] ||
                    cannot CreateContainerError 128 "failed to mount $1: $inside_next is no directory, or a link to what is none"
                found=$inside_next
            fi
        done
        case $inside_rest in
            *//*) inside_rest=${inside_rest#*//} ;;
            *) break ;;
        esac
    done
}

# names: what the pod adds to the node's files for names, put together for this container.
names() (
    umask 022
    if [ -e "$pod/etc/aliases" ]; then cat /etc/hosts "$pod/etc/aliases" >"$pod/etc/hosts.$name"; fi
    if [ -e "$pod/etc/resolver.only" ]; then
        cat "$pod/etc/resolver.only" >"$pod/etc/resolv.conf.$name"
    elif [ -e "$pod/etc/resolver" ]; then
        # The last search line is the only one that counts.
        searches=
        cat /etc/resolv.conf "$pod/etc/resolver" 2>/dev/null | {
            while read -r key rest; do
                case $key in
                    search | domain) searches="$searches${searches:+ }$rest" ;;
                    *) printf '%s %s\n' "$key" "$rest" ;;
                esac
            done
            [ -z "$searches" ] || printf 'search %s\n' "$searches"
        } >"$pod/etc/resolv.conf.$name"
    fi
)

# each_mount COMMAND: calls COMMAND SOURCE TARGET ro|rw for each mount, with the source as an absolute path.
each_mount() {
    [ ! -d "$pod/etc" ] || names
    with_words "$source/mounts" mounts_by_three "$1"
}
mounts_by_three() {
    mount_command=$1
    shift
    while [ $# -ge 3 ]; do
        case $1 in
            /*) found=$1 ;;
            *) found=$pod/$1 ;;
        esac
        case $1 in
            *//*)
                case $3 in
                    *,make) inside "$found" 1 ;;
                    *) inside "$found" 0 ;;
                esac
                ;;
        esac
        case $3 in
            *,directory) [ -d "$found" ] || cannot CreateContainerError 128 "failed to mount $found at $2: it is no directory" ;;
            *,file) [ -f "$found" ] || cannot CreateContainerError 128 "failed to mount $found at $2: it is no file" ;;
            *,socket) [ -S "$found" ] || cannot CreateContainerError 128 "failed to mount $found at $2: it is no socket" ;;
        esac
        "$mount_command" "$found" "$2" "${3%%,*}"
        shift 3
    done
    [ $# = 0 ] || fail "$source/mounts is not made of threes"
}

# needs_perl: finds perl, if the container has variables whose values must be in no argument and names that no shell can
# export. Sets $program.
needs_perl() {
    [ -n "$p_hidden" ] || return 1
    find_program perl ||
        cannot CreateContainerError 128 "there is no perl on $(uname -n): a secret in a variable whose name no shell can export would be seen by others"
}

# with_command COMMAND: calls COMMAND with the words that the container runs: command and args. Returns with them in "$@".
with_command() { with_words "$source/command" with_args "$1"; }
with_args() { with_words "$source/args" "$@"; }

# is_variable NAME: true if this shell can export it without harm to itself.
is_variable() {
    case $1 in
        '' | [0-9]* | *[!A-Za-z0-9_]*) return 1 ;;
        _ | IFS | US | LF | PWD | OLDPWD | PPID | UID | EUID | GROUPS | LC_ALL | TMOUT | SHLVL | DIRSTACK | LINENO) return 1 ;;
        RANDOM | SRANDOM | SECONDS | SHELLOPTS | OPT[AEI]* | TOWLINE_[A-L]* | TOWLINE_[W-Z]*) return 1 ;;
        BASH* | COMP_* | EPOCH* | FUNC* | HIST* | PS[0-9]) return 1 ;;
    esac
}

# become WORD…: becomes this command (by way of the words in $become_wrap), with the container's variables in its environment,
# byte for byte.
# Between the first export and the exec, names belong to the pod: nothing is read here but "$@" and TOWLINE_W….
# A name that a shell cannot export is set by env, in whose arguments it can be seen for a moment, or, if nobody may see it
# (hidden=1), by the words in $become_hidden.
# Instead of becoming the command, serves it, if lib/prober.sh was asked to (will_serve).
become_env=/usr/bin/env become_wrap='' become_hidden=
TOWLINE_WSERVE=
become() {
    TOWLINE_WRAP=$become_wrap TOWLINE_WENV=$become_env TOWLINE_WCOMMAND=$1 TOWLINE_WFAILED=$failed
    TOWLINE_WHIDDEN=${p_hidden:+$become_hidden} TOWLINE_WFILE=$source/env TOWLINE_WORD='' TOWLINE_WANT='' TOWLINE_WODD=0
    if [ -e "$source/env" ]; then
        while IFS= read -r TOWLINE_WLINE || [ -n "$TOWLINE_WLINE" ]; do
            case $TOWLINE_WLINE in
                +*)
                    TOWLINE_WORD=$TOWLINE_WORD$LF${TOWLINE_WLINE#+}
                    continue
                    ;;
            esac
            if [ -n "$TOWLINE_WANT" ]; then
                if is_variable "${TOWLINE_WORD%%=*}"; then
                    export "${TOWLINE_WORD?}"
                else
                    TOWLINE_WODD=$((TOWLINE_WODD + 1))
                    set -- "$TOWLINE_WORD" "$@"
                fi
            fi
            TOWLINE_WANT=1
            TOWLINE_WORD=${TOWLINE_WLINE#=}
        done <"$source/env"
        if [ -n "$TOWLINE_WANT" ]; then
            if is_variable "${TOWLINE_WORD%%=*}"; then
                export "${TOWLINE_WORD?}"
            else
                TOWLINE_WODD=$((TOWLINE_WODD + 1))
                set -- "$TOWLINE_WORD" "$@"
            fi
        fi
    fi
    case $TOWLINE_WSERVE$TOWLINE_WCOMMAND in
        # (Each probe says it by itself.)
        1*) ;;
        -* | *=*) TOWLINE_WANT=no ;;
        *) command -v "$TOWLINE_WCOMMAND" >/dev/null || TOWLINE_WANT=no ;;
    esac
    [ "$TOWLINE_WANT" != no ] || {
        if [ -n "$TOWLINE_WFAILED" ]; then
            printf 'ContainerCannotRun\037there is no command %s\n' "$TOWLINE_WCOMMAND" >"$TOWLINE_WFAILED"
        else
            printf 'there is no command %s\n' "$TOWLINE_WCOMMAND" >&2
        fi
        exit 127
    }
    unset IFS
    if [ "$TOWLINE_WODD" = 0 ]; then
        :
    elif [ -n "$TOWLINE_WHIDDEN" ]; then
        shift "$TOWLINE_WODD"
        # shellcheck disable=SC2086 # several words
        set -- $TOWLINE_WHIDDEN "$TOWLINE_WFILE" "$@"
    else
        # shellcheck disable=SC2086
        set -- $TOWLINE_WENV -- "$@"
    fi
    # shellcheck disable=SC2086
    set -- $TOWLINE_WRAP "$@"
    unset LC_ALL TOWLINE_SH TOWLINE_SCRATCH TOWLINE_USERNS TOWLINE_LOCAL TOWLINE_WORD
    [ -z "$TOWLINE_WSERVE" ] || serve "$@"
    exec "$@"
}
