# Sourced by lib/meter.sh, lib/console.sh and container/apptainer (for lib/image.sh too): finds processes by /proc, without starting one.
# shellcheck shell=sh disable=SC2034

# children PID: adds its children to $queue.
children() {
    for children_list in "/proc/$1/task/"*/children; do
        children_found=''
        # (The file has no line end, so read always fails.)
        read -r children_found <"$children_list"
        queue=$queue${children_found:+"$children_found "}
    done
} 2>/dev/null

# first_process PID MOST: sets $first to the container's PID 1, in a namespace of its own: PID or one that descends from it,
# found among the nearest MOST. False, and PID itself, if there is none.
first_process() {
    first=$1 queue="$1 " first_looked=0
    while [ -n "$queue" ] && [ "$first_looked" -lt "$2" ]; do
        process=${queue%% *} queue=${queue#* } first_looked=$((first_looked + 1))
        while read -r first_key first_ids; do
            [ "$first_key" = NSpid: ] || continue
            case $first_ids in
                *[!0-9]1)
                    first=$process
                    return 0
                    ;;
            esac
            break
        done <"/proc/$process/status"
        children "$process"
    done
    return 1
} 2>/dev/null
