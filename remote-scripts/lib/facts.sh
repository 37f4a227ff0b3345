# Sourced by batch/NAME/probe and check: facts about the machine the script runs on.
# shellcheck shell=sh

# has COMMAND: its path, or no.
has() { if find_program "$1"; then echo "$program"; else echo no; fi; }

# apptainer: sets $program to it and $version to its version; false if it is not there.
apptainer() {
    find_program apptainer || find_program singularity || return
    version=$("$program" --version 2>/dev/null)
    version=${version##* }
}

# login_facts SCRIPTS ROOT: about the login node.
login_facts() {
    row fact user "$(id -un)"
    row fact host "$(uname -n)"
    row fact home "${HOME-}"
    row fact root "$2"
    row fact shell "${SHELL-}"
    row fact kernel "$(uname -r)"
    row fact machine "$(uname -m)"
    for tool in tar timeout awk setsid curl; do row fact "$tool" "$(has "$tool")"; done
    apptainer || version=no
    row fact apptainer "${version:-no}"
}

yes_no() { if "$@" >/dev/null 2>&1; then echo yes; else echo no; fi; }

# node_facts ROOT [registry=HOST]…: about a compute node, from inside.
node_facts() {
    row fact node "$(uname -n)"
    row fact kernel "$(uname -r)"
    row fact root_visible "$(yes_no test -w "$1/agents" -o -w "$1")"
    row fact userns "$(yes_no unshare -U true)"
    row fact subuid "$(yes_no unshare -U --map-auto --map-root-user true)"
    row fact nsenter "$(has nsenter)"
    row fact tun "$(yes_no test -w /dev/net/tun)"
    row fact fuse "$(yes_no test -w /dev/fuse)"
    if apptainer; then
        row fact apptainer "$version"
        # The smallest image there is: a directory with nothing but this node's own programs in it.
        try=$(mktemp -d)
        mkdir -p "$try/bin" "$try/proc" "$try/sys" "$try/dev" "$try/tmp" "$try/etc"
        # shellcheck disable=SC2046
        said=$("$program" -s exec --containall --no-home $(binds) "$try" /bin/true 2>&1 </dev/null) && said=yes
        clean "${said:-no}"
        row fact runtime_works "$cleaned"
        rm -rf "$try"
    else
        row fact apptainer no
        row fact runtime_works no
    fi
    gpus=
    for device in /dev/nvidia[0-9]*; do
        [ ! -e "$device" ] || gpus="$gpus${device#/dev/} "
    done
    row fact gpus "${gpus:--}"
    try=$(mktemp "${TMPDIR:-/tmp}/towline.XXXXXX") && {
        printf '#!/bin/sh\n' >"$try"
        chmod 700 "$try"
        if "$try" 2>/dev/null; then row fact tmp_noexec no; else row fact tmp_noexec yes; fi
        rm -f "$try"
    }
    shift
    for registry in "$@"; do
        registry=${registry#registry=}
        if said=$(curl -sS -o /dev/null -m 10 "https://$registry/v2/" 2>&1 || curl -sS -o /dev/null -m 10 "http://$registry/v2/" 2>&1); then
            said=reachable
        fi
        clean "$said"
        row fact "registry $registry" "$cleaned"
    done
}
# binds: what /bin/true needs of this node to run in an empty directory.
binds() {
    for path in /bin /lib /lib64 /usr; do
        [ ! -e "$path" ] || printf '%s %s ' -B "$path"
    done
}
