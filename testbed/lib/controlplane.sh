# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# A Kubernetes control plane as plain processes on loopback: etcd, API server, controller manager, scheduler. There is no
# kubelet, no pod network, no DNS and no kube-proxy.

kubectl() { "$dir/bin/kubectl" --kubeconfig "$dir/admin.kubeconfig" "$@"; }

controlplane_up() {
    local pki=$dir/pki part
    pki_up
    daemon_runs etcd || daemon etcd "$dir/bin/etcd" --name testbed --data-dir "$dir/etcd" --log-level=warn --unsafe-no-fsync \
        --listen-client-urls "https://127.0.0.1:$(etcd_port)" --advertise-client-urls "https://127.0.0.1:$(etcd_port)" \
        --listen-peer-urls "https://127.0.0.1:$(etcd_peer_port)" --initial-advertise-peer-urls "https://127.0.0.1:$(etcd_peer_port)" \
        --initial-cluster "testbed=https://127.0.0.1:$(etcd_peer_port)" \
        --cert-file "$pki/etcd.crt" --key-file "$pki/etcd.key" --client-cert-auth --trusted-ca-file "$pki/ca.crt" \
        --peer-cert-file "$pki/etcd.crt" --peer-key-file "$pki/etcd.key" --peer-client-cert-auth --peer-trusted-ca-file "$pki/ca.crt"
    # The address that it advertises is nobody's: nothing in a cluster without a network may use it.
    daemon_runs kube-apiserver || daemon kube-apiserver "$dir/bin/kube-apiserver" --bind-address=127.0.0.1 --secure-port="$(api_port)" \
        --etcd-servers="https://127.0.0.1:$(etcd_port)" --etcd-cafile="$pki/ca.crt" \
        --etcd-certfile="$pki/etcd-client.crt" --etcd-keyfile="$pki/etcd-client.key" \
        --advertise-address=192.0.2.1 --endpoint-reconciler-type=none --service-cluster-ip-range=10.96.0.0/16 \
        --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --enable-bootstrap-token-auth --allow-privileged=true \
        --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$pki/sa.pub" \
        --service-account-signing-key-file="$pki/sa.key" \
        --kubelet-client-certificate="$pki/kubelet-client.crt" --kubelet-client-key="$pki/kubelet-client.key" \
        --kubelet-certificate-authority="$pki/ca.crt" --kubelet-preferred-address-types=InternalIP,Hostname \
        --requestheader-client-ca-file="$pki/ca.crt" --requestheader-allowed-names=front-proxy \
        --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
        --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --proxy-client-cert-file="$pki/front-proxy.crt" --proxy-client-key-file="$pki/front-proxy.key"
    wait_for 60 api_is_ready || daemon_failed kube-apiserver "the API server does not become ready"
    daemon_runs kube-controller-manager || component kube-controller-manager "$(controller_manager_port)" \
        --use-service-account-credentials --service-account-private-key-file="$pki/sa.key" --root-ca-file="$pki/ca.crt" \
        --cluster-signing-cert-file="$pki/ca.crt" --cluster-signing-key-file="$pki/ca.key"
    daemon_runs kube-scheduler || component kube-scheduler "$(scheduler_port)"
    wait_for 60 kubectl -n default get serviceaccount default ||
        daemon_failed kube-controller-manager "the controller manager makes no ServiceAccount"
    for part in etcd kube-apiserver kube-controller-manager kube-scheduler; do
        daemon_runs $part || daemon_failed $part "$part has ended"
    done
    bootstrap_up
}

# component NAME PORT OPTION…: a client of the API server.
component() {
    local config=$dir/$1.kubeconfig
    daemon "$1" "$dir/bin/$1" --kubeconfig="$config" --authentication-kubeconfig="$config" --authorization-kubeconfig="$config" \
        --bind-address=127.0.0.1 --secure-port="$2" --leader-elect=false "${@:3}"
}

api_is_ready() { curl -fsS -m 2 --cacert "$dir/pki/ca.crt" "https://127.0.0.1:$(api_port)/readyz"; }

# controlplane_down: at once, for what it holds is not needed any more.
controlplane_down() {
    local part
    for part in kube-scheduler kube-controller-manager kube-apiserver etcd; do stop_daemon $part KILL; done
}

# controlplane_reset: an empty database, which is quicker and more thorough than deleting what is in it.
controlplane_reset() {
    controlplane_down
    rm -rf "$dir/etcd"
    controlplane_up
}
