# shellcheck shell=bash disable=SC2154
# The agent as a pod of the cluster runs it: a ServiceAccount with the rights of deploy/ and no kubeconfig.

# as_in_a_pod COMMAND…: with what a kubelet gives a pod of the ServiceAccount, in a mount namespace of its own.
as_in_a_pod() {
    local server
    server=$(kubectl config view --raw -o 'jsonpath={.clusters[0].cluster.server}')
    server=${server#https://}
    kubectl -n towline create token towline-node >"$T/token"
    printf towline >"$T/namespace"
    cp "$TESTBED_CA" "$T/ca.crt"
    mkdir -p "$T/home"
    # shellcheck disable=SC2016 # the inner shell expands it
    exec unshare --map-root-user --mount env -u KUBECONFIG "HOME=$T/home" "KUBERNETES_SERVICE_HOST=${server%:*}" \
        "KUBERNETES_SERVICE_PORT=${server##*:}" sh -c 'place=/run/secrets/kubernetes.io/serviceaccount
            mount -t tmpfs tmpfs /run && mkdir -p "$place" && cp "$0/token" "$0/namespace" "$0/ca.crt" "$place" && exec "$@"' "$T" "$@"
}

case_the_agent_runs_with_a_service_account() {
    rules=$here/../../deploy/rbac.yaml
    kubectl apply -f "$rules" >/dev/null
    inside=$node-inside
    as_in_a_pod towline node "$TOWLINE_TARGET" --name "$inside" --state-dir "$T/state" --address 127.0.0.1 --port 0 \
        --plain-http "${TESTBED_REGISTRY}" >"$T/agent.log" 2>&1 &
    agent=$!
    trap 'cat "$T/agent.log"; kill "$agent" || true; wait "$agent" || true; k delete pod --all --force --grace-period=0 || true
        kubectl delete node "$inside" || true; kubectl delete -f "$rules" --wait=false' EXIT
    wait_for 60 "node $inside" kubectl get node "$inside"
    kubectl wait --for=condition=Ready --timeout=60s "node/$inside" >/dev/null
    k create configmap words --from-literal=word=hello >/dev/null
    node=$inside pod p <<EOF
containers:
  - name: main
    image: $image
    command: [sh, -c, 'echo "\$word"; ls /var/run/secrets/kubernetes.io/serviceaccount']
    envFrom: [{configMapRef: {name: words}}]
    resources: {requests: {cpu: "1", memory: 100Mi}}
EOF
    until_phase p Succeeded
    ! kubectl auth can-i list secrets -A --as system:serviceaccount:towline:towline-node || wrong 'its rights are wider than they look'
    # What it was not allowed to do, it would have said.
    ! grep -i forbidden "$T/agent.log" || wrong 'the rights of deploy/ are not enough'
    # It gives up its name and ends when it is told to.
    kill "$agent"
    wait "$agent" || wrong "it ended with $?"
}
