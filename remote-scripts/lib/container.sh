# Sourced by container/NAME: what a container is, read from its directory, for any runtime.
# shellcheck shell=sh

# container POD_DIR CONTAINER_DIR: reads it. A relative CONTAINER_DIR is none.
# shellcheck disable=SC2034
container() {
    pod=$1 source=$2
    pairs "$source/container" name kind image pull workdir read_only || exit 70
    name=$p_name workdir=$p_workdir read_only=$p_read_only failed=$pod/run/$p_name.failed
    is_name "$name" || fail "$source/container has no name"
}

# cannot REASON CODE TEXT: the container cannot be started. The supervisor puts REASON and TEXT into its report.
cannot() {
    clean "$3"
    printf '%s%s%s\n' "$1" "$US" "$cleaned" >"$failed"
    exit "$2"
}

# each_mount COMMAND: calls COMMAND SOURCE TARGET ro|rw for each mount, with the source as an absolute path.
each_mount() { with_words "$source/mounts" mounts_by_three "$1"; }
mounts_by_three() {
    mount_command=$1
    shift
    while [ $# -ge 3 ]; do
        case $1 in
            /*) "$mount_command" "$1" "$2" "$3" ;;
            *) "$mount_command" "$pod/$1" "$2" "$3" ;;
        esac
        shift 3
    done
    [ $# = 0 ] || fail "$source/mounts is not made of threes"
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

# become WRAP WORD…: becomes this command (by way of the command WRAP, if that is not empty), with the container's
# variables in its environment, byte for byte.
# Between the first export and the exec, names belong to the pod: nothing is read here but "$@" and TOWLINE_W….
# A name that a shell cannot export is set by env, in whose arguments it can be seen for a moment.
become_env=/usr/bin/env
become() {
    TOWLINE_WRAP=$1 TOWLINE_WENV=$become_env TOWLINE_WCOMMAND=$2 TOWLINE_WFAILED=$failed
    shift
    TOWLINE_WORD='' TOWLINE_WANT='' TOWLINE_WODD=''
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
                    TOWLINE_WODD=1
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
                TOWLINE_WODD=1
                set -- "$TOWLINE_WORD" "$@"
            fi
        fi
    fi
    case $TOWLINE_WCOMMAND in
        -* | *=*) TOWLINE_WANT=no ;;
        *) command -v "$TOWLINE_WCOMMAND" >/dev/null || TOWLINE_WANT=no ;;
    esac
    [ "$TOWLINE_WANT" != no ] || {
        printf 'ContainerCannotRun\037there is no command %s\n' "$TOWLINE_WCOMMAND" >"$TOWLINE_WFAILED"
        exit 127
    }
    # shellcheck disable=SC2086 # several words
    [ -z "$TOWLINE_WODD" ] || { unset IFS && set -- $TOWLINE_WENV -- "$@"; }
    [ -z "$TOWLINE_WRAP" ] || set -- "$TOWLINE_WRAP" "$@"
    unset LC_ALL TOWLINE_SH TOWLINE_SCRATCH TOWLINE_WORD
    exec "$@"
}
