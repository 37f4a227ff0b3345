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

# first_process PID MOST: sets $first to the first process of the container that PID has started: one that sees the container's
# root, where its own directory is mounted. It is PID itself or descends from it, found among the nearest MOST. False, and
# PID itself, if there is none.
first_process() {
    first=$1 queue="$1 " first_looked=0
    while [ -n "$queue" ] && [ "$first_looked" -lt "$2" ]; do
        process=${queue%% *} queue=${queue#* } first_looked=$((first_looked + 1))
        if [ -e "/proc/$process/root/.singularity.d/towline/container" ]; then
            first=$process
            return 0
        fi
        children "$process"
    done
    return 1
} 2>/dev/null
