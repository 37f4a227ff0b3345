# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# `towline node` in the background, against this testbed.

node() {
    load_or_die
    [ "$kubernetes" = yes ] || die "it was brought up without Kubernetes; testbed up --name $name completes it"
    if [ "${1:-}" = stop ]; then
        node_stop
        return
    fi
    if [ "${1:-}" = --no-build ]; then shift; else node_build; fi
    link_towline
    [ -x "$dir/bin/towline" ] || die "there is no towline; leave --no-build out"
    node_stop
    node_start "$@"
}

node_stop() { stop_daemon node; }

node_build() {
    command -v cargo >/dev/null || die "cargo is missing: install Rust with: curl -fsSL https://sh.rustup.rs | sh -s -- -y"
    (cd "$here/.." && cargo build --quiet --release --locked -p towline) >&2 || die "cargo build failed"
}

# The one place that knows the node's command line. Options given to `testbed node` come last, so that they win.
node_start() {
    local node=towline-$name argument before=''
    for argument in "$@"; do # a name of the caller's own is the one to wait for
        if [ "$before" = --name ]; then node=$argument; fi
        case $argument in --name=*) node=${argument#*=} ;; esac
        before=$argument
    done
    mkdir -p "$dir/node"
    cat >"$dir/node.yaml" <<EOF
images:
  plainHTTP: ["registry:5000", "registry:5001"]
  rewrites: [{from: docker.io/library/busybox, to: "registry:5000/busybox"}]
nodeDefaults:
  capacity: {amd.com/gpu: 4, example.org/fpga: 8}
  policy:
    gres: {example.org/fpga: fpga}
    hostPaths: [{path: /home/alice/open}, {path: /usr/share, readOnly: true}]
    volumes: [{from: /exports, to: /home/alice/volumes}]
    runtimeClasses: {boxed: apptainer, direct: none}
  flavours:
  - {name: wide, cpu: 3, settings: {comment: wide, walltime: "0:20:00"}}
EOF
    # (What the testbed tells the commands about its registry would be stronger than the file.)
    daemon node env -u TOWLINE_PLAIN_HTTP TOWLINE_SSH_CONFIG="$dir/ssh/config" "$dir/bin/towline" node login --name "towline-$name" \
        --bootstrap-kubeconfig "$dir/bootstrap.kubeconfig" --state-dir "$dir/node" --config "$dir/node.yaml" \
        --address 127.0.0.1 --port "$(node_port)" "$@"
    if ! wait_for 60 node_is_settled "$node"; then
        node_stop
        daemon_failed node "the node $node was not Ready after a minute"
    fi
    daemon_runs node || daemon_failed node "towline node has ended"
    echo "$node"
}

# node_is_settled NODE: it is Ready, or has ended. Approves its serving certificate meanwhile.
node_is_settled() {
    daemon_runs node || return 0
    approve_serving_certificates "$1"
    api "/api/v1/nodes/$1" | jq -e '.status.conditions[]? | select(.type == "Ready" and .status == "True")'
}

# approve_serving_certificates NODE: as the cluster's administrator does, for that node and that purpose only.
approve_serving_certificates() {
    local request
    api /apis/certificates.k8s.io/v1/certificatesigningrequests | jq -r --arg user "system:node:$1" '.items[]
        | select(.spec.signerName == "kubernetes.io/kubelet-serving" and .spec.username == $user)
        | select((.status.conditions // []) | length == 0) | .metadata.name' |
        while read -r request; do kubectl certificate approve "$request"; done
}

# api PATH: asks as the administrator. Looking often with kubectl would take a good part of a small machine.
api() { curl -fsS -m 5 --cacert "$dir/pki/ca.crt" --cert "$dir/pki/admin.crt" --key "$dir/pki/admin.key" "https://127.0.0.1:$(api_port)$1"; }
