# shellcheck shell=bash disable=SC2154,SC2016
# What may break in between: nothing twice, nothing lost, nothing invented.

case_node_killed_while_it_submits() {
    for n in $(seq 12); do simple "p$n" 'echo ran >>/dev/null; sleep 1'; done
    kill -KILL "$(cut -d" " -f1 "$TESTBED_DIR/run/node")"
    "$driver" node --name "$name" --no-build >/dev/null
    for n in $(seq 12); do until_phase "p$n" Succeeded; done
    # (Jobs of pods: `towline check` has a name of its own.)
    on_login "squeue -h -t all -o '%j'" | { grep -e "-$node-" || true; } | sort | uniq -d >"$T/twice"
    same 'jobs that were submitted twice' '' "$(cat "$T/twice")"
}

# The link is down while a pod runs: the node stays Ready, the pod goes on, and its end is told when the link is back.
case_link_down() {
    simple through 'sleep 8; echo through'
    wait_for 60 'the pod to run' in_phase through Running
    docker pause "$(container_of login)" >/dev/null
    trap 'docker unpause "$(container_of login)" >/dev/null 2>&1 || true' EXIT
    sleep 15
    same ready True "$(kubectl get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}')"
    same phase Running "$(phase through)"
    docker unpause "$(container_of login)" >/dev/null
    wait_for 120 'the end of the pod' in_phase through Succeeded
    wait_for 60 'its log' has_log through through
}

case_slurmctld_frozen() {
    as_operator pkill -STOP slurmctld
    trap 'as_operator pkill -CONT slurmctld' EXIT
    simple frozen 'echo once'
    sleep 14
    same phase Pending "$(phase frozen)"
    as_operator pkill -CONT slurmctld
    wait_for 240 'the pod' in_phase frozen Succeeded
    same 'jobs' 1 "$(jobs_of "$(uid_of frozen)" | wc -l)"
    same log once "$(k logs frozen)"
}

case_agent_restarts_while_pods_run() {
    simple survivor 'sleep 6; echo survived'
    wait_for 60 'the pod to run' in_phase survivor Running
    "$driver" node --name "$name" --no-build >/dev/null
    until_phase survivor Succeeded
    same log survived "$(k logs survivor)"
    same restarts 0 "$(field survivor '{.status.containerStatuses[0].restartCount}')"
    same jobs 1 "$(jobs_of "$(uid_of survivor)" | wc -l)"
}

# Whoever forces a pod away while its job is being submitted does not leave the job behind.
case_deletion_while_it_is_submitted() {
    as_operator pkill -STOP slurmctld
    trap 'as_operator pkill -CONT slurmctld' EXIT
    simple hasty 'sleep 600'
    uid=$(uid_of hasty)
    has_directory() { on_login "ls .towline/agents/$node/pods" | grep -q "$uid"; }
    wait_for 60 'its directory' has_directory
    k delete pod hasty --grace-period=0 --force >/dev/null 2>&1
    sleep 1
    as_operator pkill -CONT slurmctld
    wait_for 240 'the directory to go' has_no_directory "$uid"
    wait_for 60 'the job to go' has_no_job "$uid"
}

# Somebody deletes the directory of a pod that runs: its end is told as unknown, and it does not run again.
case_a_pods_directory_is_deleted() {
    simple bereft 'echo up; sleep 15'
    wait_for 60 'the pod to be up' has_log bereft up
    uid=$(uid_of bereft)
    on_login "rm -rf .towline/agents/$node/pods/$uid"
    wait_for 200 'its end' in_phase bereft Failed
    same reason ContainerStatusUnknown "$(field bereft '{.status.containerStatuses[0].state.terminated.reason}')"
    # (Slurm may have forgotten the one that there was.)
    [ "$(jobs_of "$uid" | wc -l)" -le 1 ] || wrong 'it has run twice'
}
