# Sourced by batch/host/*: a job is a process; its id is PID:START, START being the kernel's start time of that process
# (a PID alone would soon be somebody else's).
# shellcheck shell=sh

# started PID: sets $started to the process's start time; false if there is none (a zombie is none).
started() {
    started=
    [ -r "/proc/$1/stat" ] && read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
    # The name, the second field, is in parentheses and may hold anything.
    stat=${stat##*) }
    # shellcheck disable=SC2086
    set -- $stat
    [ $# -gt 20 ] && [ "$1" != Z ] && [ "$1" != X ] || return 1
    shift 19
    started=$1
}

# alive JOBID
alive() {
    case $1 in
        *:*) is_number "${1%%:*}" && started "${1%%:*}" && [ "$started" = "${1#*:}" ] ;;
        *) return 1 ;;
    esac
}
