# shellcheck shell=bash disable=SC2154,SC2016
# kubectl debug: containers that are added to a pod.

added_state() { field "$1" "{.status.ephemeralContainerStatuses[?(@.name==\"$2\")].state$3}"; }
# added NAME CONTAINER STATE: true if that ephemeral container is in this state.
added() { added_state "$1" "$2" "" | grep -q "\"$3\""; }

case_debug_a_pod_that_runs() {
    k create configmap settings --from-literal=colour=green >/dev/null
    pod one <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, 'echo from main >/shared/file; exec sleep 600']
    volumeMounts: [{name: shared, mountPath: /shared}]
volumes: [{name: shared, emptyDir: {}}]
END
    until_phase one Running
    # As people do it, with a terminal and the profile that kubectl takes by itself; what is typed is for the new container.
    typed() {
        until grep -q 'try pressing enter' "$T/tty" 2>/dev/null; do sleep 0.2; done
        printf 'echo "sum $((40 + 2))"\r'
        until grep -q 'sum 42' "$T/tty"; do sleep 0.2; done
        printf 'exit 5\r'
        until added one looker terminated || ! k get pod one >/dev/null; do sleep 0.5; done
    }
    typed | timeout 120 script -qec "kubectl -n $ns debug -it one --image=$image --container=looker -- sh" /dev/null >"$T/tty" 2>&1 || true
    wait_for 60 'the end of what was added' added one looker terminated
    same 'exit code' 5 "$(added_state one looker .terminated.exitCode)"
    same phase Running "$(phase one)"
    same 'restarts of the pod' 0 "$(field one '{.status.containerStatuses[0].restartCount}')"

    # With a volume of the pod's and a value from the API, by the subresource itself.
    k get pod one -o json | jq --arg image "$image" '.spec.ephemeralContainers += [{name: "reader", image: $image,
        command: ["sh", "-c", "cat /look/file; echo $COLOUR; exec sleep 600"], volumeMounts: [{name: "shared", mountPath: "/look"}],
        env: [{name: "COLOUR", valueFrom: {configMapKeyRef: {name: "settings", key: "colour"}}}]}]' |
        kubectl replace --raw "/api/v1/namespaces/$ns/pods/one/ephemeralcontainers" -f - >/dev/null
    wait_for 60 'the second one' added one reader running
    reads() { [ "$(k logs one -c reader)" = $'from main\ngreen' ]; }
    wait_for 30 'its log' reads
    same 'exec into it' green "$(k exec one -c reader -- sh -c 'echo $COLOUR')"
    has "$(k get events --field-selector involvedObject.name=one -o 'jsonpath={.items[*].message}')" 'Started container reader'
    same 'restart policy' 0 "$(field one '{.status.ephemeralContainerStatuses[?(@.name=="reader")].restartCount}')"
    # What is added has no ports of the agent's; after the agent has started again nothing runs twice.
    "$driver" node --name "$name" --no-build >/dev/null
    wait_for 60 'the node' k exec one -c reader -- true
    same 'log afterwards' $'from main\ngreen' "$(k logs one -c reader)"
    k delete pod one --grace-period=1 --wait=false >/dev/null
    until_gone one
}

# A pod that starts again and again, which is when somebody wants to look.
case_debug_what_crashes() {
    policy=Always simple crashes 'exit 1'
    until_waiting crashes CrashLoopBackOff
    k debug crashes --image="$image" --container=looker -- sh -c 'echo looking; exec sleep 600' >/dev/null
    wait_for 90 'what was added' added crashes looker running
    same log looking "$(k logs crashes -c looker)"
}

# It ends with the pod, and says nothing of how the pod ended.
case_debug_ends_with_the_pod() {
    pod ends <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, 'until [ -e /shared/go ]; do sleep 0.2; done']
    volumeMounts: [{name: shared, mountPath: /shared}]
volumes: [{name: shared, emptyDir: {}}]
END
    until_phase ends Running
    k debug ends --image="$image" --container=looker -- sh -c 'trap "exit 7" TERM; echo up; sleep 600 & wait' >/dev/null
    up() { k logs ends -c looker | grep -qx up; }
    wait_for 60 'what was added' up
    k exec ends -- touch /shared/go
    until_phase ends Succeeded
    same 'its exit code' 7 "$(added_state ends looker .terminated.exitCode)"
}

# Whoever asks for what cannot be is told in the container's own state, and the pod goes on.
case_debug_what_cannot_be() {
    simple one 'exec sleep 600'
    until_phase one Running
    k debug one --image="$image" --container=strong --profile=sysadmin -- sleep 600 >/dev/null
    refused() { [ "$(added_state one strong .waiting.reason)" = UnsupportedField ]; }
    wait_for 60 'the refusal' refused
    has "$(added_state one strong .waiting.message)" 'securityContext.privileged'
    k debug one --image="$TESTBED_REGISTRY/nothing:1" --container=nothing -- true >/dev/null
    unpulled() { added_state one nothing .waiting.reason | grep -qE 'ErrImagePull|ImagePullBackOff'; }
    wait_for 90 'the missing image' unpulled
    k get pod one -o json | jq --arg image "$image" '.spec.ephemeralContainers += [{name: "waits", image: $image, command: ["true"],
        envFrom: [{configMapRef: {name: "later"}}]}]' | kubectl replace --raw "/api/v1/namespaces/$ns/pods/one/ephemeralcontainers" -f - >/dev/null
    lacks() { [ "$(added_state one waits .waiting.reason)" = CreateContainerConfigError ]; }
    wait_for 60 'what is missing' lacks
    k create configmap later --from-literal=a=b >/dev/null
    wait_for 90 'its start' added one waits terminated
    same phase Running "$(phase one)"
    # A copy of the pod is an ordinary pod.
    k debug one --copy-to=copy --same-node --share-processes=false --profile=baseline --image="$image" --container=debugger -- sh -c 'echo looking' >/dev/null
    debugged() { k logs copy -c debugger | grep -qx looking; }
    wait_for 90 'the copy to be debugged' debugged
}

# One that is added while the job is in the queue starts with the job.
case_debug_what_waits() {
    as_operator scontrol update partitionname=debug state=down
    trap 'as_operator scontrol update partitionname=debug state=up' EXIT
    simple queued 'exec sleep 600'
    submitted() { [ -n "$(jobs_of "$(uid_of queued)")" ]; }
    wait_for 60 'its job' submitted
    k debug queued --image="$image" --container=looker -- sh -c 'echo looking; exec sleep 600' >/dev/null
    there() { on_login "ls .towline/agents/$node/pods/$(uid_of queued)/containers" | grep -q looker; }
    wait_for 60 'it to be brought' there
    as_operator scontrol update partitionname=debug state=up
    wait_for 90 'what was added' added queued looker running
}
