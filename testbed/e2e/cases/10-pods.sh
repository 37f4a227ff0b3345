# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Pods as users write them.

case_one_container() {
    simple one 'echo hello from $(hostname); echo again'
    until_phase one Succeeded
    same logs $'hello from one\nagain' "$(k logs one)"
    same 'exit code' 0 "$(field one '{.status.containerStatuses[0].state.terminated.exitCode}')"
    same reason Completed "$(field one '{.status.containerStatuses[0].state.terminated.reason}')"
    has "$(field one '{.status.conditions[?(@.type=="Ready")].reason}')" PodCompleted
    [ -n "$(field one '{.status.startTime}{.status.podIP}{.status.hostIP}')" ]
    until_event one Submitted
    until_event one Started
    k delete pod one --wait=false >/dev/null
    until_gone one
}

case_exit_code() {
    simple bad 'echo dying >&2; exit 42'
    until_phase bad Failed
    same 'exit code' 42 "$(field bad '{.status.containerStatuses[0].state.terminated.exitCode}')"
    same logs dying "$(k logs bad)"
}

case_several_containers_and_init() {
    pod several <<EOF
initContainers:
  - {name: first, image: $image, command: [sh, -c, "echo 1 >/shared/order"], volumeMounts: [{name: shared, mountPath: /shared}]}
  - {name: second, image: $image, command: [sh, -c, "echo 2 >>/shared/order"], volumeMounts: [{name: shared, mountPath: /shared}]}
containers:
  - {name: writer, image: $image, command: [sh, -c, "echo 3 >>/shared/order; touch /shared/done"], volumeMounts: [{name: shared, mountPath: /shared}]}
  - {name: reader, image: $image, command: [sh, -c, "until [ -e /shared/done ]; do sleep 0.1; done; cat /shared/order"], volumeMounts: [{name: shared, mountPath: /shared}]}
volumes:
  - {name: shared, emptyDir: {}}
EOF
    until_phase several Succeeded
    same order $'1\n2\n3' "$(k logs several -c reader)"
    same 'init statuses' 'first second' "$(field several '{.status.initContainerStatuses[*].name}')"
    same 'sorted statuses' 'reader writer' "$(field several '{.status.containerStatuses[*].name}')"
}

case_failed_init_container() {
    pod init <<EOF
initContainers: [{name: first, image: $image, command: [sh, -c, "exit 3"]}]
containers: [{name: main, image: $image, command: [echo, never]}]
EOF
    until_phase init Failed
    same 'exit code' 3 "$(field init '{.status.initContainerStatuses[0].state.terminated.exitCode}')"
    has "$(field init '{.status.containerStatuses[0].state}')" waiting
}

case_config_maps_and_secrets() {
    k create configmap plain --from-literal=key=value --from-literal=file.txt=content >/dev/null
    k create secret generic hidden --from-literal=password='s3cret $(x) "quoted"' >/dev/null
    pod config <<EOF
containers:
  - name: main
    image: $image
    command: [sh, -c, 'printf "%s|%s|%s|%s|%s\n" "\$FROM_KEY" "\$PREFIX_key" "\$PASSWORD" "\$EXPANDED" "\$1"; cat /config/file.txt /secret/password; ls -l /secret/..data/password | cut -c1-10', -]
    args: ["\$(FROM_KEY)-arg"]
    env:
      - {name: FROM_KEY, valueFrom: {configMapKeyRef: {name: plain, key: key}}}
      - {name: PASSWORD, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
      - {name: EXPANDED, value: "<\$(FROM_KEY)>\$\$(FROM_KEY)"}
    envFrom: [{prefix: PREFIX_, configMapRef: {name: plain}}]
    volumeMounts: [{name: config, mountPath: /config}, {name: secret, mountPath: /secret}]
volumes:
  - {name: config, configMap: {name: plain}}
  - {name: secret, secret: {secretName: hidden, defaultMode: 0400}}
EOF
    until_phase config Succeeded
    has "$(k logs config)" 'value|value|s3cret $(x) "quoted"|<value>$(FROM_KEY)|value-arg'
    has "$(k logs config)" 'contents3cret $(x) "quoted"'
    has "$(k logs config)" '-r--------'
}

# What a user wrote arrives byte for byte: quotes, newlines, $(), dashes, control characters, 100 kB.
case_bytes_arrive() {
    jq -n --arg image "$image" --arg node "$node" '
        ("line one\nline two\n\n'"'"'single'"'"' \"double\" $(touch /tmp/x) `id` $HOME ${A} \\ \\n -- -rf \t\u0001\u001f\u007f ä 雪 ") as $odd
        | ("x" * 100000) as $long
        | {apiVersion: "v1", kind: "Pod", metadata: {name: "bytes"},
           spec: {nodeName: $node, restartPolicy: "Never", containers: [{name: "main", image: $image,
             command: ["sh", "-c", "printf %s \"$ODD\" | md5sum; printf %s \"$LONG\" | md5sum; for w in \"$@\"; do printf %s \"$w\" | md5sum; done", "-rf"],
             args: [$odd, "-n", "", "--", "$(NOPE)", $long],
             env: [{name: "ODD", value: $odd}, {name: "LONG", value: $long}]},
             {name: "names", image: $image, command: ["env"], env: [{name: "my.dotted-name", value: "1"}, {name: "UID", value: "x"}]}]}}' >"$T/pod.json"
    k apply -f "$T/pod.json" >/dev/null
    {
        for path in '.env[0].value' '.env[1].value' '.args[0]' '.args[1]' '.args[2]' '.args[3]' '.args[4]' '.args[5]'; do
            jq -j ".spec.containers[0]$path" "$T/pod.json" | md5sum
        done
    } >"$T/expected"
    until_phase bytes Succeeded
    k logs bytes -c main >"$T/got"
    # Names that no shell can export arrive as well.
    same 'odd names' 2 "$(k logs bytes -c names | grep -c -e '^my.dotted-name=1$' -e '^UID=x$')"
    diff "$T/expected" "$T/got"
}

case_restarts() {
    policy=OnFailure
    pod again <<EOF
containers:
  - name: main
    image: $image
    command: [sh, -c, 'echo run; [ -e /state/ran ] && exit 0; touch /state/ran; exit 5']
    volumeMounts: [{name: state, mountPath: /state}]
volumes: [{name: state, emptyDir: {}}]
EOF
    until_phase again Succeeded
    same restarts 1 "$(field again '{.status.containerStatuses[0].restartCount}')"
    same 'last exit code' 5 "$(field again '{.status.containerStatuses[0].lastState.terminated.exitCode}')"
    same 'previous log' run "$(k logs again --previous)"
    policy=Always
    simple always 'exit 1'
    until_waiting always CrashLoopBackOff
    same phase Running "$(phase always)"
    k delete pod always --wait=false >/dev/null
    until_gone always
}

case_deletion_with_grace() {
    simple graceful 'trap "echo asked; sleep 1; echo done; exit 9" TERM; echo up; while :; do sleep 0.1; done'
    wait_for 60 'the pod to be up' has_log graceful up
    uid=$(uid_of graceful)
    k logs -f graceful >"$T/log.follow" &
    sleep 1
    k delete pod graceful --grace-period=20 --wait=false >/dev/null
    until_gone graceful
    wait
    same log $'up\nasked\ndone' "$(cat "$T/log.follow")"
    wait_for 30 'the job to go' has_no_job "$uid"
    wait_for 30 'the directory to go' has_no_directory "$uid"
    until_event graceful Killing
}

case_deletion_by_force() {
    simple forced 'trap "" TERM; echo up; while :; do sleep 0.1; done'
    wait_for 60 'the pod to be up' has_log forced up
    uid=$(uid_of forced)
    k delete pod forced --grace-period=0 --force >/dev/null 2>&1
    wait_for 120 'the job to go' has_no_job "$uid"
    wait_for 60 'the directory to go' has_no_directory "$uid"
}

case_deletion_in_the_queue() {
    as_operator scontrol update partitionname=debug state=down
    trap 'as_operator scontrol update partitionname=debug state=up' EXIT
    simple queued 'echo never'
    uid=$(uid_of queued)
    has_job() { [ -n "$(jobs_of "$uid")" ]; }
    wait_for 60 'a job' has_job
    says() { field queued '{.status.containerStatuses[0].state.waiting.message}' | grep -q PartitionDown; }
    wait_for 60 'the reason why it waits' says
    queued() { field queued "{.status.conditions[?(@.type==\"towline.dev/Queued\")].$1}"; }
    same 'the condition' 'True Resources' "$(queued status) $(queued reason)"
    has "$(queued message)" PartitionDown
    k get events --field-selector involvedObject.name=queued,reason=Queued -o jsonpath='{.items[*].message}' >"$T/events"
    has "$(cat "$T/events")" PartitionDown
    same phase Pending "$(phase queued)"
    k delete pod queued --wait=false >/dev/null
    until_gone queued
    wait_for 30 'the job to go' has_no_job "$uid"
}

case_gpus() {
    pod gpu <<EOF
containers: [{name: main, image: $image, command: [sh, -c, 'echo "gpus=\$CUDA_VISIBLE_DEVICES"'], resources: {limits: {nvidia.com/gpu: "2"}}}]
EOF
    until_phase gpu Succeeded
    has "$(k logs gpu)" gpus=0,1
}

case_logs() {
    simple talk 'for i in 1 2 3 4 5; do echo line $i; done; sleep 3; echo last'
    wait_for 60 'the pod to talk' has_log talk 'line 5'
    k logs -f talk >"$T/follow"
    same 'follow' $'line 1\nline 2\nline 3\nline 4\nline 5\nlast' "$(cat "$T/follow")"
    same 'tail' $'line 5\nlast' "$(k logs talk --tail=2)"
    same 'tail of nothing' '' "$(k logs talk --tail=0)"
    same 'limit' 'line' "$(k logs talk --limit-bytes=4)"
    k logs talk --timestamps | grep -Eq '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z last$' || wrong "no time stamps: $(k logs talk --timestamps)"
    same 'since' last "$(k logs talk --since-time="$(date -u -d "$(k logs talk --timestamps --tail=1 | cut -d' ' -f1)" +%FT%TZ)")"
    k logs talk -c nobody 2>"$T/err" && wrong 'a container that is not there has a log'
    has "$(cat "$T/err")" 'nobody'
}
