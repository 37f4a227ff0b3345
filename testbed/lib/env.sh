# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# What `testbed env` prints: everything that a program needs to reach this testbed, for eval in a POSIX shell.

environment() {
    variable TESTBED_NAME "$name"
    variable TESTBED_DIR "$dir"
    variable TESTBED_PROFILE "$profile"
    variable TESTBED_RUNTIME "$runtime"
    variable TESTBED_REGISTRY registry:5000
    variable TESTBED_REGISTRY_PUSH "$(registry_as_pushed)"
    variable TOWLINE_TARGET login
    variable TOWLINE_SSH_CONFIG "$dir/ssh/config"
    # what manifests call busybox is in the testbed's own registry
    variable TOWLINE_PLAIN_HTTP registry:5000
    variable TOWLINE_IMAGE_REWRITE docker.io/library/busybox=registry:5000/busybox
    if [ "$kubernetes" = yes ]; then
        variable KUBECONFIG "$dir/admin.kubeconfig"
        variable TESTBED_BOOTSTRAP_KUBECONFIG "$dir/bootstrap.kubeconfig"
        variable TESTBED_CA "$dir/pki/ca.crt"
    fi
    if [ "$engine" != default ]; then variable DOCKER_HOST "$engine"; fi
    link_towline
    echo "case :\$PATH: in *:$(single_quoted "$dir/bin"):*) ;; *) export PATH=$(single_quoted "$dir/bin"):\"\$PATH\" ;; esac"
}

variable() { echo "export $1=$(single_quoted "$2")"; }

# link_towline: $dir/bin/towline is the release binary, or the debug one where there is no other.
link_towline() {
    local target=${CARGO_TARGET_DIR:-$here/../target} binary
    for binary in "$target/release/towline" "$target/debug/towline"; do
        if [ -x "$binary" ]; then
            ln -sfn "$(realpath "$binary")" "$dir/bin/towline"
            return
        fi
    done
}
