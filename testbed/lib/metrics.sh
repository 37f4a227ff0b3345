# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# A metrics-server beside the control plane, for whoever wants `kubectl top` and autoscaling: built from the Go module
# metrics-server/ and kept in the cache. The API server finds it by a service that is only a name.

metrics() {
    load_or_die
    [ "$kubernetes" = yes ] || die "it was brought up without Kubernetes; testbed up --name $name completes it"
    if [ "${1:-}" = stop ]; then
        metrics_down
        return
    fi
    local pki=$dir/pki program
    program=$(kept metrics-server metrics-server)
    if [ ! -f "$dir/metrics-server.kubeconfig" ]; then
        certificate metrics-server /CN=metrics-server serverAuth,clientAuth DNS:metrics-server.kube-system.svc
        kubeconfig "\"client-certificate\": \"$pki/metrics-server.crt\", \"client-key\": \"$pki/metrics-server.key\"" >"$dir/metrics-server.kubeconfig"
    fi
    local config=$dir/metrics-server.kubeconfig
    metrics_objects | kubectl apply -f - >"$dir/log/metrics-objects.log" 2>&1 ||
        die "metrics-server's objects were not made: $(tail -n 2 "$dir/log/metrics-objects.log")"
    daemon_runs metrics-server || daemon metrics-server "$program" --kubeconfig="$config" --authentication-kubeconfig="$config" \
        --authorization-kubeconfig="$config" --bind-address=127.0.0.1 --secure-port="$(metrics_port)" \
        --tls-cert-file="$pki/metrics-server.crt" --tls-private-key-file="$pki/metrics-server.key" \
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-use-node-status-port --kubelet-preferred-address-types=InternalIP \
        --metric-resolution=15s
    wait_for 60 metrics_are_served || daemon_failed metrics-server "the API server does not find metrics-server"
}

metrics_down() {
    stop_daemon metrics-server
    api_is_ready || return 0
    metrics_objects | kubectl delete --ignore-not-found -f - >/dev/null
}

metrics_are_served() {
    api /apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io |
        jq -e '.status.conditions[]? | select(.type == "Available" and .status == "True")'
}

metrics_objects() {
    cat <<END
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "testbed:metrics-server"}
rules:
- {apiGroups: [""], resources: [nodes/metrics], verbs: [get]}
- {apiGroups: [""], resources: [pods, nodes], verbs: [get, list, watch]}
END
    binding metrics-server testbed:metrics-server User metrics-server
    binding metrics-server-delegates system:auth-delegator User metrics-server
    cat <<END
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: "testbed:metrics-server", namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: extension-apiserver-authentication-reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: metrics-server}]
---
apiVersion: v1
kind: Service
metadata: {name: metrics-server, namespace: kube-system}
spec: {type: ExternalName, externalName: localhost}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.metrics.k8s.io}
spec:
  group: metrics.k8s.io
  version: v1beta1
  groupPriorityMinimum: 100
  versionPriority: 100
  service: {namespace: kube-system, name: metrics-server, port: $(metrics_port)}
  caBundle: $(base64 -w 0 <"$dir/pki/ca.crt")
END
}
