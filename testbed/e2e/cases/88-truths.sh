# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Fields whose effect is seen only where a wrong value would change something: times, thresholds, graces, names and addresses.
# (Machines are slow: times are compared with each other, or have a lower bound.)

# at_least WHAT SECONDS TIMES: that many seconds lie between the first and the last one of several lines of /proc/uptime.
at_least() { awk -v least="$2" '{ t[NR] = $1 } END { exit !(NR > 1 && t[NR] - t[1] >= least) }' <<<"$3" || wrong "$1: not $2 s: $3"; }

case_times_of_probes() {
    port=$((20000 + RANDOM % 10000))
    pod timed <<END
terminationGracePeriodSeconds: 200
containers:
  - {name: rested, image: $image, command: [sh, -c, 'cat /proc/uptime; sleep 8'], lifecycle: {postStart: {sleep: {seconds: 4}}}}
  - {name: follows, image: $image, command: [cat, /proc/uptime]}
  - name: delayed
    image: $image
    command: [sh, -c, 'cat /proc/uptime; until [ -e /tmp/asked ]; do sleep 0.1; done; cat /tmp/asked']
    livenessProbe: {exec: {command: [sh, -c, '[ -e /tmp/asked ] || { cat /proc/uptime >/tmp/part; mv /tmp/part /tmp/asked; }']}, initialDelaySeconds: 12, periodSeconds: 1}
  - name: patient
    image: $image
    command: [sh, -c, 'until [ -e /tmp/passed ]; do sleep 0.1; done; echo passed']
    livenessProbe: {exec: {command: [sh, -c, 'sleep 4; touch /tmp/passed']}, timeoutSeconds: 60, periodSeconds: 1, failureThreshold: 1}
  - name: enduring
    image: $image
    command: [sh, -c, 'trap "grep -c x /tmp/asked; exit 7" TERM; while :; do sleep 0.1; done']
    livenessProbe: {exec: {command: [sh, -c, 'echo x >>/tmp/asked; false']}, timeoutSeconds: 60, periodSeconds: 1, failureThreshold: 5}
  - name: rare
    image: $image
    command: [sh, -c, 'touch /tmp/asked; until [ "\$(wc -l </tmp/asked)" -ge 3 ]; do sleep 0.1; done; cat /tmp/asked']
    livenessProbe: {exec: {command: [sh, -c, 'cat /proc/uptime >>/tmp/asked']}, timeoutSeconds: 60, periodSeconds: 5}
  - name: stubborn
    image: $image
    command: [sh, -c, 'trap "" TERM; while :; do sleep 0.1; done']
    livenessProbe: {exec: {command: ["false"]}, timeoutSeconds: 60, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1}
  - name: unstarted
    image: $image
    command: [sh, -c, 'trap "" TERM; while :; do sleep 0.1; done']
    startupProbe: {exec: {command: ["false"]}, timeoutSeconds: 60, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 1}
  - name: unready
    image: $image
    command: [sh, -c, 'touch /tmp/asked; until [ "\$(wc -l </tmp/asked)" -ge 5 ]; do sleep 0.1; done; echo asked; until [ -e /tmp/end ]; do sleep 0.1; done']
    readinessProbe: {exec: {command: [sh, -c, 'echo x >>/tmp/asked; [ "\$(wc -l </tmp/asked)" -le 2 ]']}, timeoutSeconds: 60, periodSeconds: 1, successThreshold: 3, failureThreshold: 1000}
END
    # (In a pod of their own: a pod's first 25 events are told.)
    pod ended <<END
containers:
  - name: hasty
    image: $image
    command: [sh, -c, 'trap "exit 5" TERM; while :; do sleep 0.1; done']
    livenessProbe: {exec: {command: [sleep, "600"]}, timeoutSeconds: 2, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 5}
  - name: deaf
    image: $image
    command: [sh, -c, 'trap "exit 6" TERM; while :; do sleep 0.1; done']
    livenessProbe: {tcpSocket: {port: $port}, timeoutSeconds: 60, periodSeconds: 1, failureThreshold: 1, terminationGracePeriodSeconds: 5}
END
    # Two successes of the three that it takes, and no failure that would take them back.
    wait_for 120 'it to be asked' eval 'k logs timed -c unready | grep -q asked'
    same 'ready after two successes' false "$(state timed unready .ready)"
    inside timed unready 'touch /tmp/end'
    until_phase timed Failed
    until_phase ended Failed
    for outcome in rested=0 delayed=0 patient=0 enduring=7 rare=0 stubborn=137 unstarted=137 unready=0; do
        same "exit code of ${outcome%=*}" "${outcome#*=}" "$(state timed "${outcome%=*}" .state.terminated.exitCode)"
    done
    for name in hasty deaf; do [ "$(state ended $name .state.terminated.exitCode)" != 0 ] || wrong "nobody has ended $name"; done
    at_least 'postStart.sleep' 2.5 "$(k logs timed -c rested; k logs timed -c follows)"
    at_least 'initialDelaySeconds' 5 "$(k logs timed -c delayed)"
    at_least 'twice periodSeconds' 6 "$(k logs timed -c rare | head -n 3)"
    same 'failures before the end' 5 "$(k logs timed -c enduring)"
    until_says ended Unhealthy 'Liveness probe failed: probe timed out after 2s'
    until_says ended Unhealthy "Liveness probe failed: dial tcp .*:$port"
}

# A container that ignores its signal is killed when the pod's own grace is over: the longer one later.
case_graces_of_pods() {
    on_login "mkdir -p open && rm -rf open/$ns"
    for grace in 3 12; do
        pod "grace$grace" <<END
terminationGracePeriodSeconds: $grace
containers:
  - name: main
    image: $image
    command: [sh, -c, 'trap "told=1" TERM; echo up; while :; do [ -z "\$told" ] || cut -d" " -f1 /proc/uptime >>/shared/$grace; sleep 0.1; done']
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: rested
    image: $image
    command: [sh, -c, 'trap "cut -d\" \" -f1 /proc/uptime >/shared/rested$grace; exit 0" TERM; echo up; while :; do sleep 0.1; done']
    lifecycle: {preStop: {sleep: {seconds: 2}}}
    volumeMounts: [{name: shared, mountPath: /shared}]
volumes: [{name: shared, hostPath: {path: /home/alice/open/$ns, type: DirectoryOrCreate}}]
END
    done
    for grace in 3 12; do
        for container in main rested; do wait_for 90 'it to be up' eval "k logs grace$grace -c $container | grep -q up"; done
    done
    k delete pod grace3 grace12 --wait=false >/dev/null
    until_gone grace3
    until_gone grace12
    lasted() { on_login "sed -n '1p;\$p' open/$ns/$1"; }
    at_least 'the short grace' 1 "$(lasted 3)"
    at_least 'the long grace' 9 "$(lasted 12)"
    awk '{ t[NR] = $1 } END { exit !(t[2] - t[1] < t[4] - t[3]) }' <<<"$(lasted 3; lasted 12)" || wrong "no longer grace: $(lasted 3; lasted 12)"
    at_least 'preStop.sleep' 1.5 "$(lasted 12 | head -n 1; on_login "cat open/$ns/rested12")"
}

# What is in a pod's files and in its status.
case_names_addresses_and_statuses() {
    port=$((20000 + RANDOM % 10000))
    pod named <<END
terminationGracePeriodSeconds: 2
hostNetwork: true
automountServiceAccountToken: false
dnsConfig: {nameservers: [192.0.2.53]}
containers:
  - name: main
    image: $image
    command: [sh, -c, 'grep ^nameserver /etc/resolv.conf; ls -d /var/run/secrets/kubernetes.io/serviceaccount/token; echo ok >/tmp/index.html; exec httpd -f -p $port -h /tmp']
    resources: {limits: {cpu: "1", memory: 100Mi}}
    ports: [{containerPort: $port, hostPort: $port}]
END
    pod plain <<END
hostname: other
hostnameOverride: override
containers: [{name: main, image: $image, command: [sh, -c, 'hostname; ls -d /var/run/secrets/kubernetes.io/serviceaccount/token; trap "exit 0" TERM; while :; do sleep 0.1; done']}]
END
    until_phase named Running
    address=$(field named '{.status.podIP}')
    same addresses "$address $(field named '{.status.hostIP}')" "$(field named '{.status.podIPs[*].ip} {.status.hostIPs[*].ip}')"
    served() { docker exec "$(container_of login)" curl -sf "http://$address:$port/index.html" | grep -qx ok; }
    wait_for 60 'its port at the address of its node' served
    for host in c1 c2; do
        docker exec "$(container_of $host)" hostname -i | grep -qxF "$address" && break
    done
    same 'what it sees' "$(docker exec "$(container_of $host)" grep ^nameserver /etc/resolv.conf)
nameserver 192.0.2.53" "$(k logs named | grep -v '^ls: ')"
    until_phase plain Running
    wait_for 30 'the token of the other one' has_log plain '^/var/run/secrets/kubernetes.io/serviceaccount/token$'
    same 'its name' override "$(k logs plain | head -n 1)"
    same 'classes' 'Guaranteed BestEffort' "$(field named '{.status.qosClass}') $(field plain '{.status.qosClass}')"
    generation() { [ "$(field plain '{.metadata.generation} {.status.observedGeneration} {.status.conditions[?(@.type=="Ready")].observedGeneration}')" = "$1 $1 $1" ]; }
    wait_for 30 'what was seen' generation 1
    k patch pod plain --type=merge -p '{"spec": {"activeDeadlineSeconds": 3000}}' >/dev/null
    wait_for 60 'what was seen later' generation 2
    k delete pod named plain --wait=false >/dev/null
    until_gone named
    until_gone plain
}
