# Sourced by lib/meter.sh, for the supervisor's sampler: how much the pod has filled, by `du` over its directories in the
# background, once a minute or less often where that takes long. Everything here runs in the pod's directory.
#
# A pod that has a file `limits` is ended, by the event `evict`, when it has filled more than that says.
# shellcheck shell=sh

# (A short pod does not pay for it; one with limits could be fast.)
filled_in=30 filled_child='' filled_took=0 filled_time='' filled_paths=$LF
[ ! -e limits ] || filled_in=10

# filler: called once a second.
filler() {
    if [ -n "$filled_child" ]; then
        filled_took=$((filled_took + 1)) filled_state=''
        read -r filled_state 2>/dev/null <"/proc/$filled_child/stat"
        # (Until it is waited for, one that has ended is a zombie.)
        case ${filled_state##*) } in
            '' | Z*) ;;
            *) return 0 ;;
        esac
        wait "$filled_child"
        filled_child='' filled_time=$now filled_in=$((filled_took > 3 ? filled_took * 20 : 60))
        [ ! -e limits ] || with_words limits limit_check
        return 0
    fi
    filled_in=$((filled_in - 1))
    [ "$filled_in" -le 0 ] || return 0
    filled_paths=$LF filled_took=0
    for filled_path in overlay/*/ "$scratch"/*/ log/*/ volumes/*/; do
        # (No path that a user has chosen.)
        filled_name=${filled_path%/}
        is_name "${filled_name##*/}" && [ -d "$filled_path" ] && filled_add "$filled_path."
    done
    [ ! -e limits ] || with_words limits limit_paths
    IFS=$LF
    set -f
    # shellcheck disable=SC2086 # one a line
    set -- $filled_paths
    set +f
    unset IFS
    du -sk -- "$@" >run/filled 2>/dev/null 3>&- &
    filled_child=$!
}
# filled_add PATH: once each: du counts nothing twice.
filled_add() {
    case $filled_paths in
        *"$LF$1$LF"*) ;;
        *) filled_paths=$filled_paths$1$LF ;;
    esac
}

# filled_rows: adds the figures, when there are some.
filled_rows() {
    [ -n "$filled_time" ] && [ -z "$filled_child" ] || return 0
    while read -r filled_kib filled_path; do
        filled_path=${filled_path%/.}
        # (A container on several nodes has its own of each: NAME.RANK.)
        filled_name=${filled_path##*/}
        case $filled_path in
            "$scratch"/* | overlay/*) filled_kind=rootfs filled_name=${filled_name%%.*} ;;
            log/*) filled_kind=logs ;;
            volumes/*) if [ -L "$filled_path" ]; then filled_kind=memory; else filled_kind=volume; fi ;;
            *) continue ;;
        esac
        line "filled$US$filled_kind$US$filled_name$US$((filled_kib * 1024))$US$filled_time"
    done 2>/dev/null <run/filled
}

# limit_paths BYTES MESSAGE PATHS…: adds what a limit is about.
limit_paths() {
    while [ $# -ge 3 ]; do
        for limit_path in $3; do
            limit_place "$limit_path"
            filled_add "$limit_path"
        done
        shift 3
    done
}
# limit_place PATH: sets $limit_path to where that is on this node. (A volume may be a link.)
limit_place() {
    case $1 in
        scratch/*) limit_path=$scratch/${1#scratch/}/. ;;
        *) limit_path=$1/. ;;
    esac
}
# limit_check BYTES MESSAGE PATHS…: the event is sent if one of the limits is exceeded.
limit_check() {
    while [ $# -ge 3 ]; do
        limit_sum=0
        for limit_path in $3; do
            limit_place "$limit_path"
            while read -r limit_kb limit_found; do
                [ "$limit_found" != "$limit_path" ] || limit_sum=$((limit_sum + limit_kb))
            done <run/filled
        done
        if [ "$limit_sum" -gt $(($1 / 1024)) ]; then
            clean "$2"
            printf 'evict - %s\n' "$cleaned" >&3
            return
        fi
        shift 3
    done
}
