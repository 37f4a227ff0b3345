# Sourced by pod/supervisor: what is to be known of the compute node before a container starts. Finding it out costs more
# processes than all the rest of a short pod, so it is kept in ROOT/nodes/HOST, for ten minutes and never across a boot.
# shellcheck shell=sh disable=SC2034

# node_facts ROOT UPTIME: sets $address (or -), $interrupts (1: env can reset signals), $userns (1: the account may make
# user namespaces), $local_files (1: ROOT is on a local file system, which an overlay needs) and $offset (when the node was
# started: to the clock, adjusted as it may be, it is this plus the uptime).
node_facts() {
    first_line /proc/sys/kernel/random/boot_id
    facts_boot=$line facts_file=$1/nodes/$host
    if [ "$2" ] && is_name "$host" && [ -r "$facts_file" ]; then
        read -r facts_known facts_until address interrupts userns local_files offset facts_end <"$facts_file"
        if [ "$facts_known" = "$facts_boot" ] && [ "${facts_end:-}" = end ] && [ "$facts_until" -gt "$2" ]; then return 0; fi
    fi
    offset=$(($(date +%s) - ${2:-0}))
    address=$(hostname -I 2>/dev/null || hostname -i 2>/dev/null)
    address=${address%%[ "$LF"]*} address=${address:--}
    interrupts=0 userns=0 local_files=0
    if env --default-signal=INT,QUIT true 2>/dev/null; then interrupts=1; fi
    if unshare -r true 2>/dev/null; then userns=1; fi
    if files_are_local "$1"; then local_files=1; fi
    forsaken "$1"
    [ "$2" ] && is_name "$host" && mkdir -p "$1/nodes" || return 0
    printf '%s\n' "$facts_boot $(($2 + 600)) $address $interrupts $userns $local_files $offset end" >"$facts_file.$$" &&
        mv -f "$facts_file.$$" "$facts_file"
}

files_are_local() {
    case $(stat -f -c %T "$1" 2>/dev/null) in
        ext* | xfs | btrfs | zfs | overlay* | f2fs) ;;
        *) return 1 ;;
    esac
}

# forsaken ROOT: removes directories of pods on this node (TOWLINE_SCRATCH) whose supervisor was killed and whose pod is gone.
forsaken() {
    for facts_left in "${TMPDIR:-/tmp}"/towline-scratch.* /dev/shm/towline-scratch.*; do
        # shellcheck disable=SC3067 # dash, busybox and bash have -O
        [ -d "$facts_left" ] && [ ! -L "$facts_left" ] && [ -O "$facts_left" ] && first_line "$facts_left/of" || continue
        case $line in
            "$1"/*) [ -d "$line" ] || remove_tree "$facts_left" ;;
        esac
    done
}
