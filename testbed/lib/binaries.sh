# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# The programs of the control plane: those of $KUBEBUILDER_ASSETS if it has them all, else one program built from the Go
# module controlplane/ and kept in the cache. They are named in $dir/bin. Other programs that are made of Go modules.

control_plane_parts="etcd kube-apiserver kube-controller-manager kube-scheduler kubectl"

binaries_up() {
    local from part built
    if assets_are_complete; then
        from=$KUBEBUILDER_ASSETS
    else
        from=$cache/controlplane-$(hash_of "$here"/controlplane/*)
        [ -x "$from/controlplane" ] || build_binaries "$from" || return 1
    fi
    for part in $control_plane_parts; do
        # programs of a running control plane are not exchanged under it
        built=$from/$part
        [ "$(readlink "$dir/bin/$part")" = "$built" ] || ln -sfn "$built" "$dir/bin/$part"
    done
}

assets_are_complete() {
    local part
    [ -n "${KUBEBUILDER_ASSETS:-}" ] || return 1
    for part in $control_plane_parts; do
        if [ ! -x "$KUBEBUILDER_ASSETS/$part" ]; then
            say "KUBEBUILDER_ASSETS has no $part: building all parts, so that they are of one version"
            return 1
        fi
    done
}

# build_binaries DIRECTORY
build_binaries() {
    local wanted part partial=$1.$$
    wanted=$(awk '$1 == "go" { print $2 }' "$here/controlplane/go.mod")
    go_up "$wanted" || return 1
    mkdir -p "$partial"
    say "building the control plane (several minutes, once)"
    if ! "$here/controlplane/build" "$partial/controlplane" >"$root/controlplane.log" 2>&1; then
        rm -rf "$partial"
        say "go build failed: $(grep -v '^go: downloading' "$root/controlplane.log" | tail -n 5)"
        return 1
    fi
    for part in $control_plane_parts; do ln -s controlplane "$partial/$part"; done
    rm -rf "$cache"/controlplane-????????????
    mv "$partial" "$1"
}

# kept PROGRAM MODULE: the file of a program that MODULE/build makes, once, for all testbeds that want it at the same time.
kept() {
    local sources file partial=$cache/$1.$$
    mapfile -t sources < <(find "$here/$2" -type f | LC_ALL=C sort)
    file=$cache/$1-$(hash_of "${sources[@]}")/$1
    mkdir -p "$cache"
    exec 7>"$cache/.$1.lock"
    flock 7
    if [ ! -x "$file" ]; then
        go_up "$(awk '$1 == "go" { print $2 }' "$here/$2/go.mod")" || exit 1
        say "building $1 (once)"
        mkdir -p "$partial"
        if ! "$here/$2/build" "$partial/$1" >"$root/$1.log" 2>&1; then
            rm -rf "$partial"
            die "go build failed: $(grep -v '^go: downloading' "$root/$1.log" | tail -n 5)"
        fi
        rm -rf "$cache/$1"-????????????
        mv "$partial" "${file%/*}"
    fi
    exec 7>&-
    echo "$file"
}

# go_up VERSION: is there a Go that is new enough, or one that fetches itself a newer one?
go_up() {
    command -v go >/dev/null || [ ! -x /usr/local/go/bin/go ] || PATH=$PATH:/usr/local/go/bin
    if ! command -v go >/dev/null && [ "$(id -u)" = 0 ] &&
        newer "$(apt-cache policy golang-go 2>/dev/null | sed -n 's/ *Candidate: \([0-9]*:\)\?\([0-9.]*\).*/\2/p')" 1.21; then
        install_packages golang-go
    fi
    if command -v go >/dev/null; then
        local has
        has=$(GOTOOLCHAIN=local go env GOVERSION)
        if newer "${has#go}" "$1"; then return; fi
        # since 1.21, Go gets the version that a module asks for
        if newer "${has#go}" 1.21 && [ "$(go env GOTOOLCHAIN)" != local ]; then return; fi
    fi
    say "Go $1 or newer is missing. Install it with: curl -fsSL https://go.dev/dl/go$1.linux-$(go_architecture).tar.gz | sudo tar -xz -C /usr/local"
    return 1
}
go_architecture() { case $(uname -m) in aarch64) echo arm64 ;; *) echo amd64 ;; esac }

# newer A B: version A is B or newer.
newer() { [ -n "$1" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$2" ]; }
