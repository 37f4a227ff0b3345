# Sourced by pod/supervisor for a pod that has a file `memory` (volumes in the node's memory) or `limits` (how much it may
# fill). Everything here runs in the pod's directory.
# shellcheck shell=sh

# memory_volumes: makes the volumes that lie in the node's memory and links to them, where volumes are looked for. Sets
# $memory, which goes with the job. What is in them counts for the job's memory, as everything that its processes write there.
memory_volumes() {
    mkdir -- "/dev/shm/towline-scratch.$uid.memory" || return
    memory=/dev/shm/towline-scratch.$uid.memory
    printf '%s\n' "$pod" >"$memory/of" && with_words memory make_memory
}
make_memory() {
    for memory_name in "$@"; do
        shift
        is_name "$memory_name" || {
            echo "memory has a line that is no volume's name" >&2
            return 1
        }
        set -- "$@" "$memory/$memory_name"
    done
    # (Any user of the container may write, as on a kubelet.)
    (umask 0 && mkdir -- "$@") && ln -s -- "$@" volumes/
}

# limiter: measures what the pod has filled, once a minute, and sends the event `evict` when that is more than it may be.
limiter() {
    child=''
    trap '[ -z "$child" ] || kill -KILL "$child" 2>/dev/null; exit' USR1
    paths=' '
    with_words limits limit_paths
    limit_pause=10
    while :; do
        sleep "$limit_pause" 3>&- &
        child=$!
        wait "$child"
        limit_pause=60
        # shellcheck disable=SC2086 # several paths, made of names
        du -sk -- $paths >run/filled 2>/dev/null 3>&- &
        child=$!
        wait "$child"
        child=''
        with_words limits limit_check || return
    done
}
# limit_paths BYTES MESSAGE PATHS…: collects the paths of all limits, each once: du counts nothing twice.
limit_paths() {
    while [ $# -ge 3 ]; do
        for limit_path in $3; do
            limit_place "$limit_path"
            case $paths in
                *" $limit_path "*) ;;
                *) paths="$paths$limit_path " ;;
            esac
        done
        shift 3
    done
}
# limit_place PATH: sets $limit_path to where that is on this node. (A volume may be a link.)
limit_place() {
    case $1 in
        scratch/*) limit_path=$scratch/${1#scratch/} ;;
        *) limit_path=$1/. ;;
    esac
}
# limit_check BYTES MESSAGE PATHS…: false, and the event is sent, if one of the limits is exceeded.
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
            return 1
        fi
        shift 3
    done
}
