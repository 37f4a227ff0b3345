# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Pods that cannot run, cannot run yet, or are disturbed.

case_what_cannot_be_honoured_is_refused() {
    pod refused <<EOF
hostPID: true
containers: [{name: main, image: $image, command: [echo, never]}]
EOF
    until_phase refused Failed
    same reason UnsupportedField "$(field refused '{.status.reason}')"
    has "$(field refused '{.status.message}')" hostPID
    until_event refused UnsupportedField
    same jobs '' "$(jobs_of "$(uid_of refused)")"
}

case_what_is_missing_is_waited_for() {
    pod waits <<EOF
containers: [{name: main, image: $image, command: [sh, -c, 'echo "\$KEY"'], env: [{name: KEY, valueFrom: {configMapKeyRef: {name: later, key: key}}}]}]
EOF
    until_waiting waits CreateContainerConfigError
    same phase Pending "$(phase waits)"
    k create configmap later --from-literal=key=here >/dev/null
    until_phase waits Succeeded
    same log here "$(k logs waits)"
}

case_an_image_that_is_not_there() {
    pod noimage <<EOF
containers: [{name: main, image: $TESTBED_REGISTRY/no/such:1, command: [echo, never]}]
EOF
    wait_for 90 'the failure to pull' eval 'field noimage "{.status.containerStatuses[0].state.waiting.reason}" | grep -Eq "ErrImagePull|ImagePullBackOff"'
    until_event noimage Failed
    k delete pod noimage --wait=false >/dev/null
    until_gone noimage
}

case_a_corrupt_report_is_put_aside() {
    simple watched 'sleep 6; echo end'
    wait_for 60 'the pod to run' in_phase watched Running
    uid=$(uid_of watched)
    on_login "cd .towline/agents/$node/spool/new && printf 'towline\0371\nhalf' >tmp.$uid && mv tmp.$uid $uid.00009999"
    until_phase watched Succeeded
    same log end "$(k logs watched)"
    wait_for 30 'the report to be put aside' eval "on_login 'ls .towline/agents/$node/spool/bad' | grep -q $uid"
}

case_a_cancelled_job_is_reported() {
    simple victim 'echo up; sleep 600'
    wait_for 60 'the pod to be up' has_log victim up
    on_login "scancel $(jobs_of "$(uid_of victim)")" >/dev/null
    until_phase victim Failed
    [ -n "$(field victim '{.status.reason}')" ]
}

case_walltime() {
    meta=$'  annotations: {towline.dev/walltime: "30"}'
    simple late 'trap "echo told; exit 0" TERM; while :; do sleep 0.2; done'
    wait_for 180 'the walltime to end it' in_phase late Failed
    same reason WalltimeExceeded "$(field late '{.status.reason}')"
    # (The shortest walltime that Slurm knows.)
    has "$(field late '{.status.message}')" 'its walltime of 60 s'
    same 'a disruption' '' "$(field late '{.status.conditions[?(@.type=="DisruptionTarget")].type}')"
}
