# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Pods on several compute nodes.

# parallel NAME LINE OF SHELL [MORE ANNOTATIONS]: two ranks on each of two nodes.
parallel() {
    local line
    line=$(jq -n --arg line "$2" '$line')
    meta="  annotations: {towline.dev/nodes: \"2\", towline.dev/tasks-per-node: \"2\"${3:-}}" pod "$1" <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, $line]
    resources: {requests: {cpu: "4", memory: 200Mi}}
END
}
# root_on_nodes COMMAND…: as root on each compute node.
root_on_nodes() {
    local host
    for host in c1 c2; do docker exec "$(container_of $host)" "$@"; done
}
nothing_on_the_nodes() { [ -z "$(root_on_nodes sh -c "ls -d /tmp/towline-scratch.$1* /dev/shm/towline-scratch.$1* 2>/dev/null")" ]; }

case_ranks_on_two_nodes() {
    parallel ranks 'echo "rank $SLURM_PROCID of $SLURM_NTASKS on $(hostname), host $(sed -n "$((SLURM_PROCID + 1))p" "$TOWLINE_HOSTFILE")"'
    job=$(job_of ranks)
    has "$job" NumNodes=2
    has "$job" NumTasks=4
    has "$job" NumCPUs=4
    until_phase ranks Succeeded
    same log $'rank 0 of 4 on c1, host c1\nrank 1 of 4 on c1, host c1\nrank 2 of 4 on c2, host c2\nrank 3 of 4 on c2, host c2' "$(k logs ranks | sort)"
    wait_for 30 'the nodes to be clean' nothing_on_the_nodes "$(uid_of ranks)"
}

# The ranks find each other by Slurm's PMI, as an MPI library does (its protocol, spoken by a shell), and then by TCP: the
# first one listens and the others tell it who they are.
case_ranks_find_each_other() {
    parallel meet '
        ask() { printf "%s\n" "cmd=$1" >&"$PMI_FD"; IFS= read -r answer <&"$PMI_FD"; echo "$answer"; }
        value() { echo " $answer" | sed -n "s/.* $1=\([^ ]*\).*/\1/p"; }
        ask "init pmi_version=1 pmi_subversion=1" >/dev/null
        [ "$PMI_RANK" = "$SLURM_PROCID" ] && [ "$PMI_SIZE" = 4 ] || exit 2
        printf "cmd=get_my_kvsname\n" >&"$PMI_FD"; IFS= read -r answer <&"$PMI_FD"; space=$(value kvsname)
        port=$((20000 + SLURM_JOB_ID % 10000))
        if [ "$PMI_RANK" = 0 ]; then
            # (An input that does not end: nc would tell the other side that it is over, before that has said anything.)
            mkfifo /tmp/open
            for n in 1 2 3; do nc -l -p $((port + n)) <>/tmp/open >"/tmp/heard.$n" & done
            ask "put kvsname=$space key=address value=$(hostname):$port" >/dev/null
        fi
        ask barrier_in >/dev/null
        if [ "$PMI_RANK" = 0 ]; then
            wait
            cat /tmp/heard.*
        else
            printf "%s\n" "cmd=get kvsname=$space key=address" >&"$PMI_FD"; IFS= read -r answer <&"$PMI_FD"; address=$(value value)
            until echo "rank $PMI_RANK of $(hostname) says hello to $address" | nc -w 5 "${address%:*}" $((${address#*:} + PMI_RANK)); do sleep 0.2; done
        fi
        ask finalize >/dev/null' ', towline.dev/mpi: pmi2'
    until_phase meet Succeeded
    has "$(k logs meet | sort)" 'rank 1 of c1 says hello to c1:'
    has "$(k logs meet | sort)" 'rank 3 of c2 says hello to c1:'
    same ranks 3 "$(k logs meet | grep -c hello)"
}

case_a_failing_rank_ends_the_pod() {
    parallel failing '[ "$SLURM_PROCID" = 3 ] && exit 7; sleep 600'
    until_phase failing Failed
    same 'exit code' 7 "$(field failing '{.status.containerStatuses[0].state.terminated.exitCode}')"
    wait_for 30 'the nodes to be clean' nothing_on_the_nodes "$(uid_of failing)"
}

case_all_ranks_are_told_to_end() {
    parallel graceful 'trap "echo told $SLURM_PROCID; exit 0" TERM; echo up; while :; do sleep 0.1; done'
    up() { [ "$(k logs graceful | grep -c up)" = 4 ]; }
    wait_for 90 'all ranks to be up' up
    # (Into the first rank.)
    same 'in the container' 0 "$(k exec graceful -- sh -c 'tr "\0" "\n" </proc/1/environ | sed -n s/^SLURM_PROCID=//p')"
    k logs -f graceful >"$T/follow" &
    follower=$!
    wait_for 30 'the log to be followed' grep -q up "$T/follow"
    uid=$(uid_of graceful)
    k delete pod graceful --grace-period=30 --wait=false >/dev/null
    until_gone graceful
    wait "$follower"
    same 'ranks that were told' 4 "$(grep -c told "$T/follow")"
    wait_for 60 'the nodes to be clean' nothing_on_the_nodes "$uid"
}

# A manifest as it is written for interLink, and what of nodes and tasks is refused.
case_parallel_annotations() {
    meta='  annotations: {slurm-job.vk.io/flags: "-N 2 --ntasks-per-node=1 -t 00:10:00", slurm-job.vk.io/mpi-flags: "-np 2 --mca btl tcp,self"}' pod theirs <<END
containers: [{name: main, image: $image, command: [sh, -c, 'echo "\$(hostname) \$OMPI_MCA_btl"']}]
END
    until_phase theirs Succeeded
    same log $'c1 tcp,self\nc2 tcp,self' "$(k logs theirs | sort)"
    meta='  annotations: {slurm-job.vk.io/flags: "-N 2"}' pod once <<END
containers: [{name: main, image: $image, command: [hostname]}]
END
    until_phase once Succeeded
    same log once "$(k logs once)"
    n=0
    while IFS='|' read -r annotation said <&3; do
        n=$((n + 1))
        meta="  annotations: {$annotation}" pod "bad$n" <<END
containers: [{name: main, image: $image, command: [echo, never], resources: {limits: {nvidia.com/gpu: "1"}}}]
END
        until_refused "bad$n" InvalidRequest "$said"
    done 3<<'END'
towline.dev/nodes: many|1 to 65536
towline.dev/nodes: "2", towline.dev/tasks: "1"|too few
towline.dev/nodes: "2"|cannot be divided
slurm-job.vk.io/mpi-flags: "--hostfile x"|not one of those
END
    same tried 4 "$n"
}

case_run_the_example_of_ranks() {
    towline run -f "$here/../../examples/pi/pi.yaml" login >"$T/out" 2>"$T/err" || wrong "$(cat "$T/err")"
    has "$(cat "$T/out")" 'pi = 3.141592654'
    same nodes 2 "$(sed -n 's/.*rank . of 4 on \([^:]*\):.*/\1/p' "$T/out" | sort -u | wc -l)"
}
