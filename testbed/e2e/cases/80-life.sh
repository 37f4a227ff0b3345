# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# The life of containers: sidecars, their own policies, hooks and probes, as on a kubelet.

# state NAME CONTAINER PATH: a field of a container's status, whichever kind it is of.
state() { k get pod "$1" -o json | jq -r --arg name "$2" "(.status.initContainerStatuses // [] | .[]), (.status.containerStatuses // [] | .[]) | select(.name == \$name) | $3"; }
state_is() { [ "$(state "$1" "$2" "$3")" = "$4" ]; }
# until_state NAME CONTAINER PATH VALUE
until_state() { wait_for 120 "$3 of $2 in $1 to be $4, it is $(state "$1" "$2" "$3")" state_is "$@"; }
ready_is() { [ "$(field "$1" '{.status.conditions[?(@.type=="Ready")].status}')" = "$2" ]; }
until_ready() { wait_for 120 "the condition Ready of $1 to be $2" ready_is "$1" "$2"; }
# says NAME REASON TEXT: an event says it.
says() { k get events --field-selector "involvedObject.name=$1,reason=$2" -o 'jsonpath={.items[*].message}' | grep -q -e "$3"; }
until_says() { wait_for 90 "the event $2 of $1 with $3" says "$@"; }
# on_shared NAME LINE: runs a line of shell in the first container of a pod.
inside() { k exec "$1" -c "$2" -- sh -c "$3"; }

case_sidecars() {
    pod side <<END
terminationGracePeriodSeconds: 20
initContainers:
  - {name: proxy, image: $image, restartPolicy: Always, command: [sh, -c, 'echo proxy >>/shared/order; trap "echo end proxy; exit 3" TERM; while :; do sleep 0.1; done'],
     startupProbe: {exec: {command: [test, -e, /shared/up]}, periodSeconds: 1, failureThreshold: 300}, volumeMounts: [{name: shared, mountPath: /shared}]}
  - {name: first, image: $image, command: [sh, -c, 'echo first >>/shared/order'], volumeMounts: [{name: shared, mountPath: /shared}]}
containers:
  - {name: main, image: $image, command: [sh, -c, 'echo main >>/shared/order; until [ -e /shared/end ]; do sleep 0.1; done; cat /shared/order'], volumeMounts: [{name: shared, mountPath: /shared}]}
volumes: [{name: shared, emptyDir: {}}]
END
    until_state side proxy .state.running!=null true
    same started false "$(state side proxy .started)"
    same phase Pending "$(phase side)"
    same 'the next one' waiting "$(state side first '.state|keys[0]')"
    inside side proxy 'touch /shared/up'
    until_phase side Running
    until_state side proxy '"\(.started) \(.ready)"' 'true true'
    until_ready side True
    inside side main 'touch /shared/end'
    until_phase side Succeeded
    same order $'proxy\nfirst\nmain' "$(k logs side -c main)"
    has "$(k logs side -c proxy)" 'end proxy'
    same 'its exit code' 3 "$(state side proxy .state.terminated.exitCode)"
}

# A job whose sidecar would run for ever is complete all the same.
case_job_with_sidecar() {
    k apply -f - >/dev/null <<END
apiVersion: batch/v1
kind: Job
metadata: {name: withside}
spec:
  backoffLimit: 0
  template:
    spec:
      nodeName: $node
      restartPolicy: Never
      initContainers: [{name: side, image: $image, restartPolicy: Always, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done']}]
      containers: [{name: main, image: $image, command: [sh, -c, 'sleep 2; echo done']}]
END
    wait_for 120 'the job to complete' eval '[ "$(k get job withside -o "jsonpath={.status.succeeded}")" = 1 ]'
}

case_restart_rules() {
    pod rules <<END
containers:
  - {name: main, image: $image, command: [sh, -c, '[ -e /state/ran ] && exit 0; touch /state/ran; exit 42'], volumeMounts: [{name: state, mountPath: /state}],
     restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]}
  - {name: other, image: $image, command: [sh, -c, 'exit 0']}
volumes: [{name: state, emptyDir: {}}]
END
    until_phase rules Succeeded
    same restarts 1 "$(state rules main .restartCount)"
    same 'last exit code' 42 "$(state rules main .lastState.terminated.exitCode)"
}

case_termination_message_from_the_log() {
    pod logged <<END
containers: [{name: main, image: $image, command: [sh, -c, 'seq 1 200; exit 4'], terminationMessagePolicy: FallbackToLogsOnError}]
END
    until_phase logged Failed
    same 'message' "$(seq 121 200)" "$(field logged '{.status.containerStatuses[0].state.terminated.message}')"
}

case_hooks() {
    on_login "mkdir -p open && rm -rf open/$ns"
    pod hooks <<END
terminationGracePeriodSeconds: 30
containers:
  - name: main
    image: $image
    command: [sh, -c, 'echo up; trap "echo term; exit 0" TERM; while :; do sleep 0.1; done']
    lifecycle: {postStart: {exec: {command: [sh, -c, 'until [ -e /shared/go ]; do sleep 0.1; done; echo started >>/shared/seen']}}, preStop: {exec: {command: [sh, -c, 'echo stopping >>/shared/seen']}}}
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: second
    image: $image
    command: [sh, -c, 'cat /shared/seen; trap "exit 0" TERM; while :; do sleep 0.1; done']
    lifecycle: {preStop: {sleep: {seconds: 1}}}
    volumeMounts: [{name: shared, mountPath: /shared}]
volumes: [{name: shared, hostPath: {path: /home/alice/open/$ns, type: DirectoryOrCreate}}]
END
    wait_for 90 'its directory' eval '[ -n "$(on_login "ls -d open/$ns")" ]'
    same phase Pending "$(phase hooks)"
    on_login "touch open/$ns/go"
    until_phase hooks Running
    wait_for 60 'what the second saw' eval 'k logs hooks -c second | grep -qx started'
    k delete pod hooks --wait=false >/dev/null
    until_gone hooks
    same 'what was seen' $'started\nstopping' "$(on_login "cat open/$ns/seen")"
    pod failing <<END
containers: [{name: main, image: $image, command: [sh, -c, 'trap "exit 9" TERM; while :; do sleep 0.1; done'], lifecycle: {postStart: {exec: {command: [sh, -c, 'exit 1']}}}}]
END
    until_phase failing Failed
    same 'exit code' 9 "$(state failing main .state.terminated.exitCode)"
    until_says failing FailedPostStartHook PostStartHook
}

case_probes() {
    policy=Always
    pod live <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, 'echo run; touch /tmp/well; trap "exit 0" TERM; while :; do sleep 0.1; done']
    env: [{name: WELL, value: /tmp/well}]
    startupProbe: {exec: {command: [test, -e, \$(WELL)]}, periodSeconds: 1, failureThreshold: 60}
    livenessProbe: {exec: {command: [sh, -c, 'cat "\$WELL"']}, periodSeconds: 1, failureThreshold: 2, terminationGracePeriodSeconds: 20}
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
END
    until_state live main '"\(.started) \(.ready)"' 'true false'
    until_ready live False
    same phase Running "$(phase live)"
    until_says live Unhealthy 'Readiness probe failed'
    inside live main 'touch /tmp/ready'
    until_ready live True
    same ready true "$(state live main .ready)"
    inside live main 'rm /tmp/well'
    until_state live main .restartCount 1
    until_says live Unhealthy 'Liveness probe failed'
    until_says live Killing 'failed liveness probe, will be restarted'
    same 'how it ended' 0 "$(state live main .lastState.terminated.exitCode)"
    # (A container that starts again has its image's files again.)
    until_ready live False
    k delete pod live --wait=false >/dev/null
    until_gone live
}

case_probes_of_ports() {
    port=$((20000 + RANDOM % 10000))
    pod web <<END
terminationGracePeriodSeconds: 3
containers:
  - name: web
    image: $image
    command: [sh, -c, 'mkdir -p /www && cd /www && until [ -e /tmp/go ]; do sleep 0.1; done; echo ok >index.html; exec httpd -f -p $port -h /www']
    ports: [{name: web, containerPort: $port}]
    startupProbe: {tcpSocket: {port: web}, periodSeconds: 1, failureThreshold: 300}
    readinessProbe: {httpGet: {port: web, path: /index.html, httpHeaders: [{name: X-Test, value: 'a "b"'}]}, periodSeconds: 1}
  - name: health
    image: $image
    command:
      - sh
      - -c
      - |
        printf 'sleep 0.5\nprintf "\\\\000\\\\000\\\\000\\\\004\\\\000\\\\000\\\\000\\\\000\\\\000\\\\000\\\\000\\\\000\\\\004\\\\001\\\\000\\\\000\\\\000\\\\000\\\\000\\\\000\\\\001\\\\001\\\\004\\\\000\\\\000\\\\000\\\\001\\\\210\\\\000\\\\000\\\\007\\\\000\\\\000\\\\000\\\\000\\\\000\\\\001\\\\000\\\\000\\\\000\\\\000\\\\002\\\\010\\\\001\\\\000\\\\000\\\\005\\\\001\\\\005\\\\000\\\\000\\\\000\\\\001\\\\000\\\\001a\\\\001b"\nsleep 1\n' >/tmp/answer
        while :; do nc -l -p $((port + 1)) -e sh /tmp/answer; done
    readinessProbe: {grpc: {port: $((port + 1))}, periodSeconds: 2, timeoutSeconds: 10}
END
    until_says web Unhealthy 'Startup probe failed: dial tcp'
    same started false "$(state web web .started)"
    inside web web 'touch /tmp/go'
    until_state web web '"\(.started) \(.ready)"' 'true true'
    inside web web 'mv /www/index.html /www/away'
    until_says web Unhealthy 'Readiness probe failed: HTTP probe failed with statuscode: 404'
    until_state web web .ready false
    inside web web 'mv /www/away /www/index.html'
    until_state web web .ready true
    until_state web health .ready true
    k delete pod web --wait=false >/dev/null
    until_gone web
}

case_readiness_gates() {
    pod gated <<END
readinessGates: [{conditionType: example.com/balanced}]
containers: [{name: main, image: $image, command: [sh, -c, 'while :; do sleep 0.1; done']}]
END
    until_phase gated Running
    wait_for 60 'the reason' eval '[ "$(field gated "{.status.conditions[?(@.type==\"Ready\")].reason}")" = ReadinessGatesNotReady ]'
    kubectl -n "$ns" patch pod gated --subresource=status -p '{"status": {"conditions": [{"type": "example.com/balanced", "status": "True"}]}}' >/dev/null
    until_ready gated True
    same kept True "$(field gated '{.status.conditions[?(@.type=="example.com/balanced")].status}')"
}
