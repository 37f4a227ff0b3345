# shellcheck shell=bash disable=SC2154 # all parts share the variables of the driver
# What only some tests need, made when they ask for it: helm, a Python, and images in the testbed's registry.

# extra WHAT: prints where it is.
extra() {
    load_or_die
    engine_use || die "its Docker ($engine) does not answer"
    case $1 in
        helm) kept helm programs ;;
        python) python_extra ;;
        health) image_extra health "$(hash_of "$(kept health programs)")" health_rootfs ;;
        web) image_extra web 1 busybox_rootfs 'CMD ["sh", "-c", "echo ok >/tmp/index.html; exec httpd -f -p 80 -h /tmp"]' ;;
        ranks) image_extra ranks "$(hash_of "$here"/ranks/*)" ranks_rootfs ;;
        *) usage ;;
    esac
}

# python_extra: an interpreter with the Kubernetes client for Python, kept in the cache.
python_extra() {
    local kept
    kept=$cache/python-$(hash_of "$here"/python/*)
    need python3 python3
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    mkdir -p "$cache"
    exec 7>"$cache/.python.lock"
    flock 7
    if [ ! -e "$kept/ready" ]; then
        say "installing the Kubernetes client for Python (once)"
        rm -rf "$cache"/python-????????????
        python3 -m venv "$kept" &&
            "$kept/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$here/python/requirements.txt" >"$root/python.log" 2>&1 ||
            die "it was not installed: $(tail -n 5 "$root/python.log")"
        : >"$kept/ready"
    fi
    exec 7>&-
    echo "$kept/bin/python"
}

# image_extra NAME HASH COMMAND [CHANGE]: an image of the root file system that the command writes, with that Dockerfile
# instruction, unless the registry has it.
image_extra() {
    local tag=towline/$1:$2 changes=(-c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' ${4:+-c "$4"})
    if ! has_image "${tag%:*}" "$2" 2>/dev/null; then
        "$3" | docker import "${changes[@]}" - "$(registry_as_pushed)/$tag" >/dev/null ||
            die "the image $1 was not made"
        docker push -q "$(registry_as_pushed)/$tag" >/dev/null || die "the image $1 was not pushed"
        docker image rm "$(registry_as_pushed)/$tag" >/dev/null
    fi
    echo "registry:5000/$tag"
}

busybox_rootfs() { docker run --rm --network none --entrypoint busybox-rootfs "$image"; }

# busybox, and the server.
health_rootfs() {
    # shellcheck disable=SC2016 # for the shell in the container
    docker run --rm -i --network none --entrypoint sh "$image" -euc '
        root=$(mktemp -d)
        busybox-rootfs | tar -x -C "$root"
        cat >"$root/bin/health"
        chmod 755 "$root" "$root/bin/health"
        exec tar --owner=0 --group=0 --numeric-owner -C "$root" -c .' <"$(kept health programs)"
}

# Kept in the cache, for it is made of packages.
ranks_rootfs() {
    local kept
    kept=$cache/ranks-$(hash_of "$here"/ranks/*).tar.zst
    need zstd zstd
    if [ ! -s "$kept" ]; then
        say "making the image of MPI programs (a minute, once)"
        mkdir -p "$cache"
        docker run --rm -i --entrypoint sh "$image" -c "$(cat "$here/ranks/rootfs")" <"$here/ranks/ranks.c" 2>"$root/ranks.log" |
            zstd -q -T0 -3 -f -o "$kept.$$" || { rm -f "$kept.$$" && die "it was not made: $(tail -n 5 "$root/ranks.log")"; }
        rm -f "$cache"/ranks-????????????.tar.zst
        mv "$kept.$$" "$kept"
    fi
    zstd -dc "$kept"
}
