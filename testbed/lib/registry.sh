# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# What the image registry holds, made of Debian's busybox: nothing is pulled from anywhere.

registry_as_pushed() { echo "127.0.0.1:$(registry_port)"; }

has_image() { curl -fsS -o /dev/null "http://$(registry_as_pushed)/v2/$1/manifests/$2" -H 'Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json'; }

registry_up() {
    wait_for 30 curl -fsS "http://$(registry_as_pushed)/v2/" ||
        die "the image registry does not answer; see: docker logs $(container registry)"
    if ! has_image busybox 1 2>/dev/null; then
        push_busybox busybox:1 '' -c 'CMD ["sh"]' -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    fi
    # the image that remote-scripts/tests/run describes: everything that an image may say about its process
    if ! has_image towline/entry 1 2>/dev/null; then
        push_busybox towline/entry:1 work/dir \
            -c 'ENTRYPOINT ["/bin/sh","-c","echo entry \"$0\" \"$@\"; pwd; env","zero"]' -c 'CMD ["cmd one","$(id)"]' \
            -c 'ENV FROM_IMAGE="a b" PATH=/opt/x:/bin' -c 'WORKDIR /work/dir'
    fi
}

# push_busybox IMAGE DIRECTORY CHANGE…: a busybox image with that directory and those Dockerfile instructions.
push_busybox() {
    local tag
    tag=$(registry_as_pushed)/$1
    # shellcheck disable=SC2086 # no directory is no word
    docker run --rm --network none --entrypoint busybox-rootfs "$image" $2 | docker import "${@:3}" - "$tag" >/dev/null
    docker push "$tag" >"$dir/log/push.log" 2>&1 || die "docker push $tag failed: $(tail -n 2 "$dir/log/push.log")"
    docker image rm "$tag" >/dev/null
}
