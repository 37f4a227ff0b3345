# shellcheck shell=bash disable=SC2154,SC2016
# What the containers of a pod have in common: memory, and on request processes.

# in_pod NAME CONTAINER COMMAND: a line of shell there.
in_pod() { k exec "$1" -c "$2" -- sh -c "$3"; }

case_containers_share_memory() {
    pod memory <<END
initContainers:
  - name: before
    image: $image
    command: [sh, -c, 'echo before >/dev/shm/before']
containers:
  - name: a
    image: $image
    command: [sh, -c, 'cat /dev/shm/before; exec sleep 600']
  - name: b
    image: $image
    command: [sleep, '600']
    securityContext: {runAsNonRoot: true}
  - name: own
    image: $image
    command: [sleep, '600']
    volumeMounts: [{name: own, mountPath: /dev/shm}]
volumes: [{name: own, emptyDir: {medium: Memory}}]
END
    until_phase memory Running
    wait_for 60 'the log of a' has_log_of memory a before
    in_pod memory a 'echo of a >/dev/shm/a'
    same 'what b sees' 'of a' "$(in_pod memory b 'cat /dev/shm/a')"
    same 'what a mount of its own has' '' "$(in_pod memory own 'ls -A /dev/shm')"
    same IPC "$(in_pod memory a 'readlink /proc/self/ns/ipc')" "$(in_pod memory b 'readlink /proc/self/ns/ipc')"
    [ "$(in_pod memory a 'readlink /proc/self/ns/pid')" != "$(in_pod memory b 'readlink /proc/self/ns/pid')" ] || wrong 'they share their processes'
    # One that is added belongs to them as well.
    k debug memory --image="$image" --container=looker -- sh -c 'cat /dev/shm/a; exec sleep 600' >/dev/null
    wait_for 90 'what was added' has_log_of memory looker 'of a'
    # Another pod has its own.
    simple other 'readlink /proc/self/ns/ipc; ls -A /dev/shm; echo over'
    until_phase other Succeeded
    [ "$(k logs other | head -n 1)" != "$(in_pod memory a 'readlink /proc/self/ns/ipc')" ] || wrong 'two pods share IPC'
    same 'what another pod sees' over "$(k logs other | sed 1d)"
}
has_log_of() { k logs "$1" -c "$2" | grep -q "$3"; }

case_containers_share_their_processes() {
    pod processes <<END
shareProcessNamespace: true
terminationGracePeriodSeconds: 30
containers:
  - name: a
    image: $image
    command: [sh, -c, 'trap "echo told; exit 3" TERM; trap "echo got it" USR1; sleep 611 & while :; do wait; sleep 0.1; done']
    livenessProbe: {exec: {command: [sh, -c, 'pidof tail']}, periodSeconds: 1, failureThreshold: 30}
  - name: b
    image: $image
    command: [sh, -c, 'exec tail -f /dev/null']
    lifecycle: {postStart: {exec: {command: [sh, -c, 'echo hooked >/dev/shm/hooked']}}}
END
    until_phase processes Running
    seen() { in_pod processes b 'ps' | grep -q '[s]leep 611'; }
    wait_for 60 'the processes of a, seen from b' seen
    same 'the same process' "$(in_pod processes a 'pidof tail')" "$(in_pod processes b 'pidof tail')"
    [ "$(in_pod processes b 'pidof tail')" != 1 ] || wrong 'an app is PID 1'
    in_pod processes b 'kill -USR1 "$(ps | grep "trap.*[g]ot it" | awk "{ print \$1; exit }")"'
    wait_for 30 'the signal' has_log_of processes a 'got it'
    same 'the hook' hooked "$(in_pod processes a 'cat /dev/shm/hooked')"
    k debug processes --image="$image" --container=looker -- sh -c 'ps; exec sleep 600' >/dev/null
    wait_for 90 'what was added' has_log_of processes looker 'sleep 611'
    same restarts '0 0' "$(field processes '{.status.containerStatuses[*].restartCount}')"
    # Each is told to end, and nothing is left of the pod on its node.
    k delete pod processes --wait=false >/dev/null
    until_gone processes
}

# kubectl debug --target.
case_a_debugger_sees_its_target() {
    pod target <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, 'sleep 612 & exec sleep 613']
  - name: plain
    image: $image
    command: [sleep, '614']
    securityContext: {runAsNonRoot: true}
END
    until_phase target Running
    k debug target --image="$image" --container=looker --target=main -- sh -c 'ps; exec sleep 600' >/dev/null
    wait_for 90 'what it sees' has_log_of target looker 'sleep 612'
    k logs target -c looker | grep -q '^ *1 .*sleep 613' || wrong "PID 1 is not that of the target: $(k logs target -c looker)"
    ! k logs target -c looker | grep -q 'sleep 614' || wrong 'it sees others as well'
    same 'a session in it' 613 "$(in_pod target looker 'tr "\0" " " </proc/1/cmdline' | grep -o '613')"
    # Beside one that is not root it cannot, and says so.
    k debug target --image="$image" --container=blind --target=plain -- sleep 600 >/dev/null
    told() { added_state target blind .terminated.message | grep -q 'plain, which is not root'; }
    wait_for 90 'the reason' told
    same phase Running "$(phase target)"
}
