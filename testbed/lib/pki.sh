# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# The cluster's certificate authority, the certificates of its parts, and a kubeconfig for each.

pki_up() {
    local pki=$dir/pki part
    if [ -f "$dir/admin.kubeconfig" ]; then
        # One that was made before there was an aggregation layer.
        [ -f "$pki/front-proxy.crt" ] || certificate front-proxy /CN=front-proxy clientAuth
        return
    fi
    mkdir -p "$pki"
    private_key "$pki/ca.key"
    openssl req -x509 -new -key "$pki/ca.key" -subj "/CN=towline-testbed-$name" -days 3650 -out "$pki/ca.crt"
    certificate apiserver /CN=kube-apiserver serverAuth DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1
    certificate etcd /CN=etcd serverAuth,clientAuth DNS:localhost,IP:127.0.0.1
    certificate etcd-client /CN=kube-apiserver clientAuth
    certificate kubelet-client /CN=kube-apiserver-kubelet-client clientAuth
    certificate front-proxy /CN=front-proxy clientAuth
    certificate kube-controller-manager /CN=system:kube-controller-manager clientAuth
    certificate kube-scheduler /CN=system:kube-scheduler clientAuth
    certificate admin /O=system:masters/CN=admin clientAuth
    private_key "$pki/sa.key"
    openssl pkey -in "$pki/sa.key" -pubout -out "$pki/sa.pub"
    for part in kube-controller-manager kube-scheduler admin; do
        kubeconfig "\"client-certificate\": \"$pki/$part.crt\", \"client-key\": \"$pki/$part.key\"" >"$dir/$part.kubeconfig"
    done
}

private_key() { (umask 077 && openssl ecparam -name prime256v1 -genkey -noout -out "$1"); }

# certificate NAME SUBJECT USAGE [ALTERNATIVE-NAMES]
certificate() {
    local file=$dir/pki/$1
    private_key "$file.key"
    openssl req -new -key "$file.key" -subj "$2" |
        openssl x509 -req -CA "$dir/pki/ca.crt" -CAkey "$dir/pki/ca.key" -CAcreateserial -days 3650 -out "$file.crt" -extfile <(
            echo "extendedKeyUsage=$3"
            echo keyUsage=digitalSignature
            [ $# -lt 4 ] || echo "subjectAltName=$4"
        ) 2>/dev/null
}

# kubeconfig USER-FIELDS: for the holder of these credentials.
kubeconfig() {
    cat <<END
apiVersion: v1
kind: Config
clusters: [{name: testbed-$name, cluster: {server: "https://127.0.0.1:$(api_port)", certificate-authority: "$dir/pki/ca.crt"}}]
users: [{name: user, user: {$1}}]
contexts: [{name: testbed-$name, context: {cluster: testbed-$name, user: user}}]
current-context: testbed-$name
END
}
