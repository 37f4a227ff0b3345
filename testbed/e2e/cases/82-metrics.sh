# shellcheck shell=bash disable=SC2154,SC2016
# What pods use: the node's endpoint, a real metrics-server, and `towline top`.

# of_node PATH: from the node's endpoint, as the API server. (That one itself asks no address of its own machine for others.)
of_node() {
    local port
    port=$(kubectl get node "$node" -o 'jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}')
    curl -fsS -m 20 --cacert "$TESTBED_CA" --cert "$TESTBED_DIR/pki/kubelet-client.crt" --key "$TESTBED_DIR/pki/kubelet-client.key" \
        "https://127.0.0.1:$port$1"
}

# busy_and_idle: a pod that works and holds some memory, and one that waits.
busy_and_idle() {
    pod busy <<END
containers:
  - {name: works, image: $image, command: [sh, -c, 'while :; do :; done'], resources: {requests: {cpu: "1"}}}
  - {name: holds, image: $image, command: [sh, -c, 'x=\$(head -c 60000000 /dev/zero | tr "\\\\000" x); echo held; exec 2>/dev/null; while sleep 600; do echo "\$x"; done']}
END
    simple idle 'exec sleep 600'
    until_phase busy Running
    until_phase idle Running
}

case_figures_of_pods() {
    busy_and_idle
    wait_for 60 'the memory to be held' eval 'k logs busy -c holds | grep -qx held'
    # Figures with a rate, which needs two of them, from after the memory was taken.
    summary() { of_node /stats/summary | jq --arg ns "$ns" '.pods[] | select(.podRef.namespace == $ns)' >"$T/summary"; }
    container() { jq -s ".[] | select(.podRef.name == \"$1\") | .containers[] | select(.name == \"$2\") | $3" "$T/summary"; }
    shown() {
        summary
        [ "$(container busy works .cpu.usageNanoCores)" -gt 50000000 ] && [ "$(container busy holds .memory.rssBytes)" -gt 55000000 ] &&
            [ "$(container idle main .cpu.usageNanoCores)" -lt 20000000 ]
    }
    wait_for 120 'figures' shown
    [ "$(container busy holds .memory.workingSetBytes)" -lt 400000000 ] || wrong "a container of 60 MB has $(container busy holds .memory)"
    [ "$(container busy works .memory.workingSetBytes)" -lt 30000000 ] || wrong "a busy shell has $(container busy works .memory)"
    [ "$(container idle main .memory.rssBytes)" -gt 10000 ] || wrong "a sleep has $(container idle main .memory)"
    same 'no network' '' "$(grep -o network "$T/summary" || true)"
    # What it used does not get less.
    before=$(container busy works .cpu.usageCoreNanoSeconds)
    more() { summary && [ "$(container busy works .cpu.usageCoreNanoSeconds)" -gt "$before" ]; }
    wait_for 60 'more processor time' more

    of_node /metrics/resource >"$T/resource"
    grep -Eq "^container_cpu_usage_seconds_total\{container=\"works\",namespace=\"$ns\",pod=\"busy\"\} [0-9.]+ [0-9]{13}$" "$T/resource" ||
        wrong "no processor time in $(cat "$T/resource")"
    grep -Eq '^node_memory_working_set_bytes [1-9][0-9]+ [0-9]{13}$' "$T/resource" || wrong "no figures of the node in $(cat "$T/resource")"
    grep -qx 'resource_scrape_error 0' "$T/resource"
    of_node /metrics/cadvisor >"$T/cadvisor"
    grep -q "^container_memory_rss{container=\"holds\",id=\"\",image=\"$image\"" "$T/cadvisor" || wrong "no memory in $(cat "$T/cadvisor")"
    of_node /metrics/probes >/dev/null

    # Who has ended uses nothing.
    k delete pod busy --grace-period=1 --wait=false >/dev/null
    until_gone busy
    without() { summary && [ -z "$(container busy works .cpu)" ]; }
    wait_for 30 'the end of the figures' without
}

# A real metrics-server, kubectl's view of it, and what scales by it.
case_metrics_server() {
    "$driver" metrics --name "$name" >/dev/null
    trap '"$driver" metrics stop --name "$name" >/dev/null' EXIT
    simple idle 'exec sleep 600'
    k apply -f - >/dev/null <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  replicas: 1
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      nodeSelector: {kubernetes.io/hostname: $node}
      tolerations: [{key: virtual-node.towline.dev/cluster, operator: Exists}]
      terminationGracePeriodSeconds: 1
      containers:
        - {name: works, image: $image, command: [sh, -c, 'while :; do :; done'], resources: {requests: {cpu: 20m, memory: 100Mi}}}
        - {name: waits, image: $image, command: [sleep, "600"], resources: {requests: {cpu: 20m, memory: 100Mi}}}
END
    k autoscale deployment busy --cpu-percent=50 --min=1 --max=2 >/dev/null
    top() { k top pod "$@" --no-headers | awk '{ print $2 + 0; exit }'; }
    shown() { busy=$(top -l app=busy) && idle=$(top idle) && [ "$busy" -ge 50 ] && [ "$idle" -lt $((busy / 4)) ]; }
    wait_for 180 'kubectl top pod' shown
    same 'containers' 'waits works' "$(k top pod -l app=busy --containers --no-headers | awk '{ print $2 }' | sort -u | xargs)"
    of_nodes() { [ "$(kubectl top node "$node" --no-headers | awk '{ print $2 + 0 }')" -ge 50 ]; }
    wait_for 60 'kubectl top node' of_nodes
    scaled() { [ "$(k get deployment busy -o 'jsonpath={.spec.replicas}')" = 2 ]; }
    wait_for 180 'the HorizontalPodAutoscaler to scale' scaled
}

case_top_without_kubernetes() {
    simple busy 'while :; do :; done'
    until_phase busy Running
    shown() { towline top -A -o json 2>/dev/null >"$T/top" && jq -e --arg ns "$ns" '.[] | select(.namespace == $ns) | .total.cpuMillis > 50' "$T/top"; }
    wait_for 90 'towline top' shown
    has "$(towline top -A 2>/dev/null)" busy
}

case_own_metrics() {
    simple counted 'echo one; exec sleep 600'
    until_phase counted Running
    wait_for 30 'its log' has_log counted one
    k exec counted -- cat /etc/hostname >/dev/null
    of_node /metrics >"$T/metrics"
    value() { awk -v name="$1" '$1 == name { print $2 }' "$T/metrics"; }
    same 'the link' 1 "$(value towline_link_up)"
    for positive in 'towline_jobs{state="running"}' 'towline_submissions_total{outcome="submitted"}' towline_pod_submission_delay_seconds_count \
        'towline_cluster_request_duration_seconds_count{operation="submit"}' 'towline_cluster_request_duration_seconds_count{operation="look"}' \
        towline_loop_turn_duration_seconds_count 'towline_session_bytes_total{direction="out",kind="exec"}' \
        'towline_session_bytes_total{direction="out",kind="log"}' process_resident_memory_bytes process_open_fds; do
        awk -v value="$(value "$positive")" 'BEGIN { exit !(value > 0) }' || wrong "$positive is '$(value "$positive")' in $(cat "$T/metrics")"
    done
    same 'the end' '# EOF' "$(tail -n 1 "$T/metrics")"
    closed() { of_node /metrics >"$T/metrics" && [ "$(value 'towline_sessions_open{kind="exec"}')" = 0 ]; }
    wait_for 30 'the session to be closed' closed
}

# What a pod fills on disks, what it reads and writes, how its probes went, and the file system of the node.
case_figures_of_disks_and_probes() {
    pod filled <<END
volumes:
  - {name: data, emptyDir: {}}
  - {name: quick, emptyDir: {medium: Memory}}
containers:
  - name: main
    image: $image
    command: [sh, -c, 'head -c 5000000 /dev/zero >/data/file; head -c 3000000 /dev/zero >/quick/file; head -c 4000000 /dev/zero >/root/file; sync; head -c 200000 /dev/zero | tr "\\\\000" x; exec sleep 600']
    volumeMounts: [{name: data, mountPath: /data}, {name: quick, mountPath: /quick}]
    livenessProbe: {exec: {command: ["true"]}, periodSeconds: 1, timeoutSeconds: 20}
END
    until_phase filled Running
    measured() { of_node /stats/summary >"$T/all" && jq -e --arg ns "$ns" '.pods[] | select(.podRef.namespace == $ns and .volume)' "$T/all" >"$T/summary"; }
    wait_for 180 'what it fills' measured
    of_summary() { jq ".$1" "$T/summary"; }
    between() { # WHAT LEAST MOST
        [ "$(of_summary "$1")" -ge "$2" ] && [ "$(of_summary "$1")" -lt "$3" ] || wrong "$1 is not between $2 and $3 in $(cat "$T/summary")"
    }
    between 'containers[0].rootfs.usedBytes' 4000000 4900000
    between 'containers[0].logs.usedBytes' 200000 1000000
    between 'volume[] | select(.name == "data") | .usedBytes' 5000000 5900000
    between 'volume[] | select(.name == "quick") | .usedBytes' 3000000 3900000
    between '"ephemeral-storage".usedBytes' 9200000 12000000
    same 'no network of its own' null "$(of_summary network)"
    jq -e '.node | .fs.capacityBytes > .fs.availableBytes and .fs.inodes > .fs.inodesUsed and .runtime.imageFs.usedBytes > 0
        and .runtime.imageFs.usedBytes < .fs.usedBytes' "$T/all" >/dev/null || wrong "no file system of the node in $(jq .node "$T/all")"

    of_node /metrics/cadvisor >"$T/cadvisor"
    value() { awk -v name="$1" -v pod="pod=\"filled\"" -v container="container=\"$2\"" 'index($1, name "{") == 1 && index($1, pod) && index($1, container) { print $2 }' "$T/$3"; }
    [ "$(value container_fs_writes_bytes_total main cadvisor)" -ge 9000000 ] || wrong "what it has written is not in $(cat "$T/cadvisor")"
    [ "$(value container_fs_usage_bytes main cadvisor)" -ge 4200000 ] || wrong "what it fills is not in $(cat "$T/cadvisor")"
    same 'no network' '' "$(grep '^container_network' "$T/cadvisor" | grep "$ns" || true)"

    counted() { of_node /metrics/probes >"$T/probes" && [ "$(value prober_probe_duration_seconds_count main probes)" -gt 0 ]; }
    wait_for 60 'durations of probes' counted
    same 'as many within all bounds' "$(value prober_probe_duration_seconds_count main probes)" \
        "$(grep '^prober_probe_duration_seconds_bucket{container="main".*pod="filled".*le="+Inf"}' "$T/probes" | cut -d' ' -f2)"
    same 'as many as have come out well' "$(value prober_probe_duration_seconds_count main probes)" "$(value prober_probe_total main probes)"
    awk -v sum="$(value prober_probe_duration_seconds_sum main probes)" 'BEGIN { exit !(sum > 0) }' || wrong "they took no time in $(cat "$T/probes")"
}
