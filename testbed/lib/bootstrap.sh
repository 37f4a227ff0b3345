# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# How a node gets its identity: as kubeadm arranges it for kubelets. A bootstrap token may ask for a node's client
# certificate, which is signed without asking; a node renews its own. Its serving certificate an administrator approves.

bootstrap_up() {
    [ -f "$dir/bootstrap.token" ] || (umask 077 && echo "$(openssl rand -hex 3).$(openssl rand -hex 8)" >"$dir/bootstrap.token")
    local token
    token=$(cat "$dir/bootstrap.token")
    (umask 077 && kubeconfig "\"token\": \"$token\"" >"$dir/bootstrap.kubeconfig")
    bootstrap_objects "${token%.*}" "${token#*.}" | kubectl apply -f - >"$dir/log/bootstrap.log" 2>&1 ||
        die "the node's bootstrap objects were not made: $(tail -n 2 "$dir/log/bootstrap.log")"
}

bootstrap_objects() { # TOKEN-ID TOKEN-SECRET
    cat <<END
apiVersion: v1
kind: Secret
metadata: {name: bootstrap-token-$1, namespace: kube-system}
type: bootstrap.kubernetes.io/token
stringData:
  token-id: "$1"
  token-secret: "$2"
  usage-bootstrap-authentication: "true"
  auth-extra-groups: system:bootstrappers:testbed
END
    binding may-ask system:node-bootstrapper Group system:bootstrappers:testbed
    binding is-signed system:certificates.k8s.io:certificatesigningrequests:nodeclient Group system:bootstrappers:testbed
    binding is-renewed system:certificates.k8s.io:certificatesigningrequests:selfnodeclient Group system:nodes
    binding apiserver-to-kubelet system:kubelet-api-admin User kube-apiserver-kubelet-client
}

binding() { # NAME CLUSTERROLE KIND SUBJECT
    cat <<END
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "testbed:$1"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "$2"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: $3, name: "$4"}]
END
}
