# shellcheck shell=bash disable=SC2154
# The node itself, its identity and its endpoint.

case_node_object() {
    describe=$(kubectl get node "$node" -o json)
    for part in '.status.capacity.cpu' '.status.allocatable.memory' '.status.capacity["nvidia.com/gpu"]' '.status.capacity.pods' \
        '.status.daemonEndpoints.kubeletEndpoint.Port' '.status.nodeInfo.kubeletVersion' '.metadata.labels["kubernetes.io/hostname"]' \
        '.spec.taints[] | select(.effect == "NoSchedule")'; do
        printf '%s' "$describe" | jq -e "$part" >/dev/null || wrong "the node has no $part"
    done
    same conditions 'DiskPressure MemoryPressure NetworkUnavailable PIDPressure Ready towline.dev/ClusterReachable' \
        "$(printf '%s' "$describe" | jq -r '[.status.conditions[].type] | sort | join(" ")')"
    renewed() { kubectl -n kube-node-lease get lease "$node" -o 'jsonpath={.spec.renewTime}'; }
    before=$(renewed)
    wait_for 40 'the lease to be renewed' eval "[ \"\$(renewed)\" != '$before' ]"
}

# The node is system:node:NAME and reaches only what its own pods use.
case_identity() {
    certificate=$TESTBED_DIR/node/$node/client.pem # with its key
    same 'mode of the key' 600 "$(stat -c %a "$certificate")"
    has "$(openssl x509 -noout -subject -in "$certificate")" "system:node:$node"
    has "$(openssl x509 -noout -subject -in "$certificate")" 'system:nodes'
    kubectl auth can-i get secrets --as "system:node:$node" --as-group system:nodes -n "$ns" >/dev/null 2>&1 && wrong 'it may read all secrets'
    k create secret generic alien --from-literal=a=b >/dev/null
    code=$(curl -s -o /dev/null -w '%{http_code}' --cacert "$TESTBED_CA" --cert "$certificate" \
        "$(kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.server}')/api/v1/namespaces/$ns/secrets/alien")
    same 'reading a secret of nobody' 403 "$code"
}

case_endpoint_is_never_open() {
    port=$(kubectl get node "$node" -o 'jsonpath={.status.daemonEndpoints.kubeletEndpoint.Port}')
    for path in /pods /healthz /containerLogs/default/x/y /runningpods/ /metrics; do
        same "anonymous $path" 401 "$(curl -sk -o /dev/null -w '%{http_code}' "https://127.0.0.1:$port$path")"
    done
    same 'wrong token' 401 "$(curl -sk -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer nonsense' "https://127.0.0.1:$port/pods")"
    token=$(k create token default)
    same 'token without rights' 403 "$(curl -sk -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "https://127.0.0.1:$port/pods")"
    # The certificate is the cluster's.
    curl -s --cacert "$TESTBED_CA" -o /dev/null "https://127.0.0.1:$port/healthz" || wrong 'the serving certificate is not signed by the cluster'
}

# A good guest: one connection, no process besides sshd's own and one shell, one directory.
case_footprint() {
    simple quiet 'sleep 5'
    until_phase quiet Succeeded
    sleep 2
    pid=$(cut -d" " -f1 "$TESTBED_DIR/run/node")
    port=$(ssh -G -F "$TOWLINE_SSH_CONFIG" "$TOWLINE_TARGET" | awk '$1 == "port" { print $2 }')
    # (The one for logs stays for a minute.)
    one_connection() { [ "$(ss -Htnp state established "( dport = :$port )" | grep -c "pid=$pid,")" = 1 ]; }
    wait_for 90 'one connection to the login node' one_connection
    others=$(on_login "ps -u \$(id -un) -o comm= | grep -v -e sshd -e ps -e '^sh$' -e bash -e awk -e grep" | tr '\n' ' ')
    same 'processes on the login node' '' "${others% }"
}

case_several_partitions() {
    far=$node-long
    "$driver" node --name "$name" --no-build -- --partition debug --partition long --name "$node" >/dev/null
    trap '"$driver" node --name "$name" --no-build >/dev/null; kubectl delete node "$far" "$node-debug" >/dev/null' EXIT
    wait_for 30 'the node of the other partition' kubectl wait --for=condition=Ready --timeout=1s node "$far"
    same partition long "$(kubectl get node "$far" -o 'jsonpath={.metadata.labels.towline\.dev/partition}')"
    (node=$far && simple far 'sleep 1')
    until_phase far Succeeded
    has "$(on_login "squeue -h -t all -o '%P %j'; sacct -X -n -P -o Partition,JobName")" "long"
    has "$(field far '{.spec.nodeName}')" "$far"
}
