# shellcheck shell=bash disable=SC2154,SC2016
# What Kubernetes' own conformance tests (testbed/conformance) have found missing once.

case_what_conformance_asks_for() {
    pod small <<END
securityContext: {seLinuxOptions: {level: s0}}
containers:
  - name: main
    image: $image
    command: [sh, -c, 'printf "%s %s" "\$CPUS" "\$(cat /own/memory)" >/dev/last-words']
    terminationMessagePath: /dev/last-words
    securityContext: {runAsUser: 1000}
    env: [{name: CPUS, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]
    volumeMounts: [{name: own, mountPath: /own}]
volumes:
  - name: own
    downwardAPI: {items: [{path: memory, resourceFieldRef: {containerName: main, resource: limits.memory, divisor: 1Mi}}]}
END
    until_phase small Succeeded
    same 'last words, of what the job gets' '1 1024' "$(field small '{.status.containerStatuses[0].state.terminated.message}')"
    refused_with() { # REASON FIELD: a pod with that field
        pod "${1,,}" <<END
containers: [{name: main, image: $image, command: ["true"]}]
$2
END
        until_phase "${1,,}" Failed
        same reason "$1" "$(field "${1,,}" '{.status.reason}')"
    }
    refused_with SysctlForbidden 'securityContext: {sysctls: [{name: kernel.msgmax, value: "1"}]}'
    refused_with PodOSNotSupported 'os: {name: windows}'
}

case_a_deadline_that_comes_later() {
    simple later 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    until_phase later Running
    k patch pod later -p '{"spec": {"activeDeadlineSeconds": 1}}' >/dev/null
    until_phase later Failed
    same reason DeadlineExceeded "$(field later '{.status.reason}')"
    same 'its exit code' 3 "$(field later '{.status.containerStatuses[0].state.terminated.exitCode}')"
    has "$(field later '{.status.message}')" 'longer than the specified deadline'
}
