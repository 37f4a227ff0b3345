# Sourced by pod/supervisor: the namespaces that the containers of a pod share, held by a process (pod/sandbox) that lives
# as long as the pod does. IPC always, with /dev/shm and message queues; the PIDs if the pod says so.
#
# They belong to a user namespace of the account's, in which the account is root and, where the node has ranges of
# subordinate ids for it, all other users are there as well: containers are made in it, and are root without further ado.
# shellcheck shell=sh disable=SC2034,SC2154 # the variables are the supervisor's

# sandbox_up: makes them. Sets $sandbox to the process that holds them, and writes the file run/sandbox, by which others
# find it; false if this node cannot, with $sandbox_why.
sandbox_up() {
    sandbox='' sandbox_why="$host gives this account no user namespaces"
    [ "$userns" = 1 ] || return
    sandbox_why="there is no nsenter on $host"
    find_program nsenter || return
    sandbox_why="failed to make a pipe on $host"
    own_pipe && [ -p /proc/self/fd/4 ] || return
    exec 9<&4
    own_pipe || return
    # (What reads only hears of the end.)
    exec 8</proc/self/fd/4
    set --
    [ "$share_processes" != 1 ] || set -- -p -f --kill-child=KILL
    # It ends with the supervisor, also with one that is killed.
    sandbox_tied=
    if find_program setpriv; then sandbox_tied="$program --pdeathsig KILL"; fi
    # shellcheck disable=SC2086 # two words
    $sandbox_tied unshare -U -m -i --propagation slave "$@" "$SH" "$scripts/pod/sandbox" "$pod" \
        <&9 >&4 3>&- 8<&- 9<&- 4>&- &
    sandbox_first=$!
    exec 4<&-
    sandbox_said='' sandbox_held=''
    if read -r sandbox_said sandbox_held <&8 && sandbox_users "$sandbox_held"; then
        echo go >&9
        sandbox_said=
        read -r sandbox_said <&8
    fi
    exec 8<&- 9<&-
    if [ "$sandbox_said" = ready ]; then
        sandbox=$sandbox_held
        printf '%s %s\n' "$sandbox" "${share_processes:-0}" >run/sandbox
        return
    fi
    kill -KILL "$sandbox_first" 2>/dev/null
    sandbox_why="failed to make namespaces on $host: see supervisor.log"
    return 1
}

# sandbox_down: what they held of the node's memory goes with them.
sandbox_down() { kill -KILL "$sandbox" "$sandbox_first" 2>/dev/null; }

# sandbox_users PID: says who is who in the user namespace of this process: the account is root there, and the account's
# subordinate ids are all others, where the node has such and a newuidmap that may do that.
sandbox_users() {
    own_ids
    account=${LOGNAME:-${USER:-}}
    [ -n "$account" ] || account=$(id -un)
    find_program newuidmap && subordinate /etc/subuid "$own_uid" &&
        "$program" "$1" 0 "$own_uid" 1 1 "$range" "$range_size" 2>/dev/null ||
        printf '0 %s 1\n' "$own_uid" 2>/dev/null >"/proc/$1/uid_map" || return
    find_program newgidmap && subordinate /etc/subgid "$own_uid" &&
        "$program" "$1" 0 "$own_gid" 1 1 "$range" "$range_size" 2>/dev/null || {
        # (Who has one group only must not give the others away.)
        echo deny >"/proc/$1/setgroups"
        printf '0 %s 1\n' "$own_gid" >"/proc/$1/gid_map"
    } 2>/dev/null
}

# subordinate FILE UID: sets $range and $range_size to the account's range in /etc/subuid or /etc/subgid; false without one.
subordinate() {
    while IFS=: read -r range_of range range_size; do
        case $range_of in
            "$account" | "$2") ;;
            *) continue ;;
        esac
        is_number "$range" && is_number "$range_size" || continue
        # As many as make a range of 16 bits; more would only cost time.
        [ "$range_size" -le 65536 ] || range_size=65536
        return 0
    done 2>/dev/null <"$1"
    return 1
}

# tree PID: sets $tree to it and all that descends from it.
tree() {
    queue="$1 " tree=''
    while [ -n "$queue" ]; do
        process=${queue%% *} queue=${queue#* } tree="$tree $process"
        children "$process"
    done
} 2>/dev/null

# sandbox_clear SOURCE: in a PID namespace of the pod, nothing else ends what a container has left behind. SOURCE: the
# container's directory, by which a process of it is known: it is mounted into it.
sandbox_clear() {
    tries=5 cleared=$1/container
    while [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        set --
        for process in "/proc/$sandbox/root/proc"/[1-9]*; do
            # shellcheck disable=SC3013 # dash, busybox and bash have -ef
            if [ "$process/root/.singularity.d/towline/container/container" -ef "$cleared" ]; then
                set -- "$@" "${process##*/}"
            fi
        done
        [ $# != 0 ] || return 0
        find_program nsenter || return
        # shellcheck disable=SC2016 # for the shell in there
        "$program" -t "$sandbox" -U --preserve-credentials -p "$SH" -c 'kill -KILL "$@"' kill "$@" 2>/dev/null
    done
}
