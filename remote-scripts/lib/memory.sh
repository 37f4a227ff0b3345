# Sourced by pod/supervisor and pod/rank for a pod that has a file `memory`: volumes in the node's memory.
# shellcheck shell=sh

# memory_volumes: makes the volumes that lie in the node's memory and links to them, where volumes are looked for, in the
# pod's directory, which is the working directory. Sets $memory, which goes with the job. What is in them counts for the job's
# memory, as everything that its processes write there.
memory_volumes() {
    mkdir -- "/dev/shm/towline-scratch.$uid.memory" || return
    memory=/dev/shm/towline-scratch.$uid.memory
    printf '%s\n' "$pod" >"$memory/of" && with_words memory make_memory && with_words memory link_memory
}
link_memory() {
    for memory_name in "$@"; do
        shift
        set -- "$@" "$memory/files/$memory_name"
    done
    ln -s -- "$@" volumes/
}

# rank_memory: the same for a rank on a node where no supervisor has made them, so that the links lead somewhere there as well.
# They last as long as ranks run on that node: nobody else is there to take them away.
rank_memory() {
    memory=/dev/shm/towline-scratch.$uid.memory
    if mkdir -- "$memory" 2>/dev/null; then printf '%s\n' "$pod" >"$memory/of" && : >"$memory/ranks" || return; fi
    # shellcheck disable=SC3067 # dash, busybox and bash have -O
    [ -O "$memory" ] && [ ! -L "$memory" ] && with_words "$pod/memory" make_memory
}

make_memory() {
    for memory_name in "$@"; do
        shift
        is_name "$memory_name" || {
            echo "memory has a line that is no volume's name" >&2
            return 1
        }
        set -- "$@" "$memory/files/$memory_name"
    done
    # (Any user of the container may write, as on a kubelet.)
    mkdir -p -- "$memory/files" && (umask 0 && mkdir -p -- "$@")
}
