# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# The image of the cluster's containers: the one that Docker has, else the cached one, else built.

image_files() { find "$here/cluster" -maxdepth 1 -type f | LC_ALL=C sort; }

image_up() {
    local suite hash cached files
    suite=$(profile_suite "$profile")
    mapfile -t files < <(image_files)
    hash=$(hash_of "${files[@]}")
    image=towline-testbed:$suite-$hash
    if docker image inspect "$image" >/dev/null 2>&1; then return; fi
    cached=$cache/cluster-$suite-$hash.tar.zst
    need zstd zstd
    if [ -s "$cached" ]; then
        say "loading the cluster's image from $cached"
        if zstd -dc "$cached" | docker load -q >/dev/null; then return; fi
        say "this image cannot be loaded; building it anew"
    fi
    base_image_up "$suite"
    say "building the cluster's image (a minute)"
    DOCKER_BUILDKIT=0 docker build -q --build-arg BASE="debian:$suite-slim" --build-arg SUITE="$suite" -t "$image" \
        "$here/cluster" >"$root/build.log" 2>&1 || die "docker build failed: $(tail -n 5 "$root/build.log")"
    image_cache "$suite" "$cached"
}

# image_cache SUITE FILE: keeps the image for the next time, in place of earlier ones.
image_cache() {
    local partial=$2.$$
    mkdir -p "$cache"
    if docker save "$image" | zstd -q -T0 -3 -o "$partial"; then
        rm -f "$cache/cluster-$1"-*.tar.zst
        mv "$partial" "$2"
    else
        rm -f "$partial"
        say "the image could not be kept in $cache; the next start on an empty Docker builds it again"
    fi
}

# base_image_up SUITE: pulled, or made from this machine's own Debian mirror where no image registry can be reached.
base_image_up() {
    local base=debian:$1-slim mirror
    if docker image inspect "$base" >/dev/null 2>&1; then return; fi
    if curl -sS -m 5 -o /dev/null https://registry-1.docker.io/v2/ 2>/dev/null; then
        say "pulling $base"
        if timeout 300 docker pull -q "$base" >/dev/null; then return; fi
    fi
    need mmdebstrap mmdebstrap
    # shellcheck disable=SC2016 # apt's own variables
    mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
        awk '$1 == "Debian" && $2 !~ /security/ && !found { print $2; found = 1 }') || true
    mirror=${mirror:-http://deb.debian.org/debian}
    say "no image registry can be reached: making $base from this machine's Debian mirror"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates --aptopt='Acquire::Check-Valid-Until "false"' \
        "$1" - "$mirror" 2>"$root/mmdebstrap.log" | docker import - "$base" >/dev/null ||
        die "mmdebstrap failed: $(tail -n 3 "$root/mmdebstrap.log")"
}
