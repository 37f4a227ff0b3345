# shellcheck shell=bash disable=SC2154 # name, work and the rest come from testbed/bench/run
# What streams cost: sessions, connections to ports, logs that are followed.

# running NAME COMMAND: a pod of the bench that runs; sets $uid, $job and $host.
running() {
    jq -n --arg image "$image" --arg node "$node" --arg name "$1" --arg line "$2" '{apiVersion: "v1", kind: "Pod",
        metadata: {name: $name, labels: {bench: "1"}}, spec: {nodeName: $node, restartPolicy: "Never", terminationGracePeriodSeconds: 1,
        containers: [{name: "main", image: $image, command: ["sh", "-c", $line], resources: {requests: {cpu: "1", memory: "200Mi"}}}]}}' |
        kubectl apply -f - >/dev/null
    until kubectl exec "$1" -- true >/dev/null 2>&1; do sleep 0.2; done
    uid=$(kubectl get pod "$1" -o 'jsonpath={.metadata.uid}')
    job=$(on_login "cat .towline/agents/$node/pods/$uid/job")
    host=$(on_login "squeue -h -j $job -o %B")
}
# by_ssh WORD…: over one connection that stands, as somebody would do it by hand.
by_ssh() { ssh -F "$TOWLINE_SSH_CONFIG" -o LogLevel=ERROR -o ControlPath="$work/master" "$TOWLINE_TARGET" "$@" 2>/dev/null; }
master() {
    ssh -F "$TOWLINE_SSH_CONFIG" -o LogLevel=ERROR -o ControlPath="$work/master" -M -N -f "$@" "$TOWLINE_TARGET" >/dev/null 2>&1 </dev/null
}
no_master() { ssh -F "$TOWLINE_SSH_CONFIG" -o ControlPath="$work/master" -O exit "$TOWLINE_TARGET" >/dev/null 2>&1 || true; }
taken() { # COMMAND…: microseconds that it takes
    local begun
    begun=$(now)
    "$@" >/dev/null
    echo $(($(now) - begun))
}

# (kubectl takes its time to start, whatever it is asked for.)
bench_exec() {
    local n exec hand any
    clean
    running bench-exec 'exec sleep 3600'
    master
    by_ssh true >/dev/null
    for n in $(seq "$runs"); do
        taken kubectl exec bench-exec -- true >>"$work/exec"
        taken by_ssh srun --quiet "--jobid=$job" --overlap --nodes=1 --ntasks=1 true >>"$work/exechand"
        taken kubectl get --raw /readyz >>"$work/execany"
    done
    no_master
    clean
    exec=$(median "$work/exec") hand=$(median "$work/exechand") any=$(median "$work/execany")
    figure 'kubectl exec -- true' "$(seconds "$exec"), kubectl alone $(seconds "$any"), ssh and srun $(seconds "$hand"): $(awk "BEGIN { printf \"%.0f\", ($exec - $any - $hand) / 1000 }") ms more" '<= 60 ms more' "$(holds "$exec - $any - $hand <= 60e3")"
}

# bare_kubelet PORT ADDRESS: a node and a pod `bench-ports` that are a kubelet's own code and nothing else, on that port; whatever
# is forwarded goes to ADDRESS.
bare_kubelet() {
    PATH=$PATH:/usr/local/go/bin "$here/ports/build" "$work/ports"
    no_bare_kubelet
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$work/ports.key" -subj '/O=system:nodes/CN=system:node:bench-ports' 2>/dev/null |
        openssl x509 -req -CA "$TESTBED_CA" -CAkey "${TESTBED_CA%.crt}.key" -CAcreateserial -CAserial "$work/serial" -days 1 -out "$work/ports.crt" \
            -extfile <(printf 'extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n') 2>/dev/null
    "$work/ports" "127.0.0.1:$1" "$work/ports.crt" "$work/ports.key" "$2" &
    jq -n '{apiVersion: "v1", kind: "Node", metadata: {name: "bench-ports"}, spec: {unschedulable: true}},
        {apiVersion: "v1", kind: "Pod", metadata: {name: "bench-ports"}, spec: {nodeName: "bench-ports", tolerations: [{operator: "Exists"}],
            containers: [{name: "main", image: "none"}]}}' | kubectl create -f - >/dev/null
    kubectl patch node bench-ports --subresource=status --type=merge -p "{\"status\": {\"addresses\":
        [{\"type\": \"InternalIP\", \"address\": \"127.0.0.1\"}], \"daemonEndpoints\": {\"kubeletEndpoint\": {\"Port\": $1}}}}" >/dev/null
    kubectl patch pod bench-ports --subresource=status --type=merge -p '{"status": {"phase": "Running"}}' >/dev/null
}
no_bare_kubelet() {
    kubectl delete pod bench-ports --force --grace-period=0 --ignore-not-found >/dev/null 2>&1
    kubectl delete node bench-ports --ignore-not-found >/dev/null
}

# Microseconds for a GiB out of a pod, by each way and by ssh over the same one. (Written by dd everywhere: in pieces of the
# same size, whoever's head it is.) How much of that kubectl and the API server can carry at all shows the same kubectl through
# the same API server to a kubelet's own code, which gets the bytes by that ssh.
bench_throughput() {
    local n own size=$((1 << 30)) port=18090 local_port ways=()
    local flood="dd if=/dev/zero bs=65536 count=$((size >> 16))"
    flooding() { echo "echo 'exec $flood' >/tmp/flood; exec nc -ll -p $1 -e sh /tmp/flood"; }
    clean
    running bench-throughput "$(flooding $port)"
    jq -n --arg line "$(flooding $((port + 1)))" '{apiVersion: "v1", kind: "Pod", metadata: {name: "bench-own"}, spec: {restartPolicy: "Never",
        containers: [{name: "main", image: "busybox:1", command: ["sh", "-c", $line], resources: {requests: {cpu: "1", memory: "200Mi"}}}]}}' >"$work/own.json"
    own=$(towline run -f "$work/own.json" --detach --quiet "$TOWLINE_TARGET")
    until towline exec --target "$TOWLINE_TARGET" "$own" -- true >/dev/null 2>&1; do sleep 0.2; done
    local_port=$((20000 + RANDOM % 10000))
    master -L "127.0.0.1:$local_port:$host:$port"
    bare_kubelet $((local_port + 4)) "127.0.0.1:$local_port"
    # Way number n listens on $local_port + n; 0 is ssh.
    towline port-forward --target "$TOWLINE_TARGET" "$own" $((local_port + 1)):$((port + 1)) >"$work/forward1" 2>&1 &
    ways+=("$!")
    kubectl port-forward pod/bench-throughput $((local_port + 2)):$port >"$work/forward2" 2>&1 &
    ways+=("$!")
    kubectl port-forward pod/bench-ports $((local_port + 3)):$port >"$work/forward3" 2>&1 &
    ways+=("$!")
    for n in 1 2 3; do until grep -q Forwarding "$work/forward$n"; do kill -0 "${ways[n - 1]}" && sleep 0.1; done; done
    whole() { exec 3<>"/dev/tcp/127.0.0.1/$1" && dd bs=65536 iflag=fullblock count=$((size >> 16)) <&3 2>&1 >/dev/null | grep -q "^$((size >> 16))+0 records out"; }
    for _ in $(seq $((runs < 3 ? runs : 3))); do
        # shellcheck disable=SC2086 # words
        taken kubectl exec bench-throughput -- $flood >>"$work/cat" 2>/dev/null
        # shellcheck disable=SC2086 # words
        taken by_ssh srun --quiet "--jobid=$job" --overlap --nodes=1 --ntasks=1 --unbuffered $flood >>"$work/cathand"
        for n in 0 1 2 3; do (taken whole $((local_port + n))) >>"$work/way$n"; done
    done
    no_master
    kill "${ways[@]}" 2>/dev/null || true
    no_bare_kubelet
    towline cancel --force --target "$TOWLINE_TARGET" "$own" >/dev/null 2>&1
    clean
    compared() { # WHAT FILE FILE-BY-HAND WHAT-BY-HAND BOUND
        local one two
        one=$(median "$work/$2") two=$(median "$work/$3")
        figure "1 GiB by $1" "$(awk "BEGIN { printf \"%.0f MiB/s, $4 %.0f MiB/s: %.0f %%\", 1024e6 / $one, 1024e6 / $two, 100 * $two / $one }")" \
            ">= $5 %" "$(holds "$two / $one * 100 >= $5")"
    }
    compared 'kubectl exec' cat cathand 'ssh and srun' 70
    compared 'towline port-forward' way1 way0 'ssh -L' 70
    compared 'kubectl port-forward' way2 way0 'ssh -L' 70
    compared 'kubectl port-forward' way2 way3 "a kubelet's own code" 70
}

# How long a pod takes from apply to Succeeded, and how much memory the node has, while 100 logs are followed.
bench_follow() {
    local n pid before after idle busy reading followers=()
    clean
    running bench-follow 'i=0; while :; do echo "line $i"; i=$((i + 1)); sleep 1; done'
    pid=$(cut -d" " -f1 "$TESTBED_DIR/run/node")
    memory() { awk '/^VmRSS/ { print $2 / 1024 }' "/proc/$pid/status"; }
    one() { # a pod like those of the other figures, beside what runs
        kubectl delete pod bench-0 --ignore-not-found --wait=true >/dev/null
        applied
    }
    one >/dev/null
    for n in $(seq "$runs"); do one >>"$work/idle"; done
    before=$(memory)
    kubectl proxy --port=0 >"$work/proxy" 2>&1 &
    until grep -q 'Starting to serve' "$work/proxy"; do sleep 0.1; done
    local at
    at=$(sed -n 's/.* on //p' "$work/proxy")
    for n in $(seq 100); do
        curl -sN "http://$at/api/v1/namespaces/default/pods/bench-follow/log?follow=true" >"$work/follow.$n" &
        followers+=("$!")
    done
    for n in $(seq 100); do
        until grep -q '^line' "$work/follow.$n"; do
            kill -0 "${followers[n - 1]}" 2>/dev/null || { echo "a log is not followed: $(cat "$work/follow.$n")" >&2 && return 1; }
            sleep 0.2
        done
    done
    for n in $(seq "$runs"); do one >>"$work/busy"; done
    after=$(memory)
    reading=$(on_login "pgrep -fc 'pod/[l]og'")
    for n in "${followers[@]}"; do kill -0 "$n" 2>/dev/null || { echo "a log is not followed any more" >&2 && return 1; }; done
    kill "${followers[@]}" 2>/dev/null || true
    clean
    idle=$(median "$work/idle") busy=$(median "$work/busy")
    figure '100 logs -f: more memory' "$(awk "BEGIN { printf \"%.1f MiB (%.1f, %.1f before)\", $after - $before, $after, $before }")" '< 40 MiB' "$(holds "$after - $before < 40")"
    # (A reading is two: the shell that writes, and what waits for the end of its session.)
    figure '100 logs -f: on the login node' "$reading processes" '2' "$(holds "$reading == 2")"
    figure '100 logs -f: apply to Succeeded' "$(seconds "$busy"), without them $(seconds "$idle"): $(awk "BEGIN { printf \"%.2f\", $busy / $idle }") times" '< 2 times' "$(holds "$busy < 2 * $idle")"
}
