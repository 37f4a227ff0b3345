# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# Keys, certificates and the client's configuration for SSH: every way of logging in that is tested.

users="alice bob carol dave"

# key FILE COMMENT [TYPE [PASSPHRASE]]
key() { [ -f "$1" ] || ssh-keygen -q -t "${3:-ed25519}" -N "${4:-}" -C "$2@testbed-$name" -f "$1"; }

# keys_up: what the login node needs goes into $dir/etc/ssh, what a client needs into $dir/ssh.
keys_up() {
    local client=$dir/ssh server=$dir/etc/ssh user type
    if [ -f "$client/config" ]; then return; fi
    mkdir -p "$client" "$server"
    for user in $users; do
        key "$client/$user" "$user"
        cp "$client/$user.pub" "$server/$user.keys"
    done
    key "$client/alice-rsa" alice-rsa rsa
    key "$client/alice-ecdsa" alice-ecdsa ecdsa
    echo 'open sesame' >"$client/alice-encrypted.passphrase"
    key "$client/alice-encrypted" alice-encrypted ed25519 'open sesame'
    cat "$client"/alice-{rsa,ecdsa,encrypted}.pub >>"$server/alice.keys"

    # certificates: a key that the login node does not know, signed for alice; and a host key signed for the clients
    key "$client/user_ca" user-ca
    key "$client/host_ca" host-ca
    key "$client/alice-certified" alice-certified
    ssh-keygen -q -s "$client/user_ca" -I "alice of $name" -n alice "$client/alice-certified.pub"
    cp "$client/user_ca.pub" "$server/user_ca.pub"
    for type in ed25519 ecdsa rsa; do key "$server/ssh_host_${type}_key" "login-$type" "$type"; done
    ssh-keygen -q -h -s "$client/host_ca" -I "login of $name" -n 127.0.0.1,login "$server/ssh_host_ed25519_key.pub"

    local hosts port
    port=$(ssh_port)
    hosts="[127.0.0.1]:$port,login"
    for type in ed25519 ecdsa rsa; do echo "$hosts $(cut -d ' ' -f 1,2 "$server/ssh_host_${type}_key.pub")"; done >"$client/known_hosts"
    # ssh looks a certificate's authority up by the host's name and port
    echo "@cert-authority $hosts $(cut -d ' ' -f 1,2 "$client/host_ca.pub")" >"$client/known_hosts_ca"
    client_config >"$client/config.new"
    mv "$client/config.new" "$client/config"
}

client_config() {
    local user
    echo "# The login node of the testbed $name: login is alice, login-USER another user."
    host login alice alice
    for user in bob carol dave; do host "login-$user" "$user" "$user"; done
    host login-certificate alice alice-certified
    echo "    CertificateFile \"$dir/ssh/alice-certified-cert.pub\""
    echo "    UserKnownHostsFile \"$dir/ssh/known_hosts_ca\""
    printf '\n# The login node once more, by way of itself\nHost login-jump\n    HostName 127.0.0.1\n    Port 22\n    HostKeyAlias login\n    User alice\n    ProxyJump login\n'
    echo "    IdentityFile \"$dir/ssh/alice\""
    printf '\nHost login login-*\n    HostName 127.0.0.1\n    Port %s\n    IdentitiesOnly yes\n    StrictHostKeyChecking yes\n' "$(ssh_port)"
    printf '    UserKnownHostsFile "%s/ssh/known_hosts"\n    GlobalKnownHostsFile /dev/null\n' "$dir"
}

host() { printf '\nHost %s\n    User %s\n    IdentityFile "%s/ssh/%s"\n' "$1" "$2" "$dir" "$3"; }
