# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Where images come from, who sees them, and when they go; and that secrets are seen by nobody.

images_of() { on_login "ls -d .towline/images/$1/v* 2>/dev/null"; }
image_id() { field "$1" '{.status.containerStatuses[0].imageID}'; }
# told NAME REASON: the messages of such events.
told() { k get events --field-selector "involvedObject.name=$1,reason=$2" -o 'jsonpath={range .items[*]}{.message}{"\n"}{end}'; }
# manifest_of REPOSITORY TAG; put_manifest REPOSITORY TAG < manifest: speaks to the testbed's registry.
manifest_type=application/vnd.docker.distribution.manifest.v2+json
manifest_of() { docker exec "$(container_of login)" curl -sf -H "Accept: $manifest_type" "http://$TESTBED_REGISTRY/v2/$1/manifests/$2"; }
put_manifest() { docker exec -i "$(container_of login)" curl -sf -X PUT -H "Content-Type: $manifest_type" --data-binary @- "http://$TESTBED_REGISTRY/v2/$1/manifests/$2"; }

# Two pods on two nodes want the same image at the same time. The registry counts.
case_an_image_is_pulled_once() {
    docker exec -i "$(container_of registry)" sh -c 'cat >/tmp/counted.yml' <<'END'
version: 0.1
log: {level: info, accesslog: {disabled: false}}
storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
http: {addr: ":5001"}
END
    docker exec -d "$(container_of registry)" sh -c 'exec docker-registry serve /tmp/counted.yml >/tmp/counted.log 2>&1'
    trap 'docker exec "$(container_of registry)" sh -c "for p in /proc/[0-9]*; do tr \"\\0\" \" \" <\$p/cmdline | grep -q \"serve /tmp/counted.yml\" && kill \${p#/proc/}; done" 2>/dev/null || true' EXIT
    counted() { docker exec "$(container_of login)" curl -sf http://registry:5001/v2/; }
    wait_for 20 'the registry that counts' counted
    on_login 'rm -rf .towline/images/registry%3A5001*'
    for name in here there; do
        pod "$name" <<END
containers: [{name: main, image: "registry:5001/busybox:1", command: [sleep, "8"], resources: {requests: {cpu: "10", memory: 100Mi}}}]
END
    done
    until_phase here Succeeded
    until_phase there Succeeded
    [ "$(field here '{.status.podIP}')" != "$(field there '{.status.podIP}')" ] || wrong 'both ran on one node'
    layer=$(manifest_of busybox 1 | jq -r '.layers[0].digest')
    same 'pulls of the layer' 1 "$(docker exec "$(container_of registry)" grep -c "\"GET /v2/busybox/blobs/$layer" /tmp/counted.log)"
    same versions 1 "$(images_of 'registry%3A5001%2Fbusybox%3A1' | wc -l)"
    digest=sha256:$(manifest_of busybox 1 | sha256sum | cut -d ' ' -f 1)
    same 'imageID' "registry:5001/busybox@$digest" "$(image_id here)"
    same 'imageID' "$(image_id here)" "$(image_id there)"
    until_event here Pulled
    until_event there Pulled
    words=$(told here Pulled; told there Pulled)
    same 'pulls that were told' 1 "$(grep -c '^Successfully pulled image "registry:5001/busybox:1" in .*s (.*s including waiting). Image size: [0-9]* bytes.$' <<<"$words")"
    same 'the other one' 1 "$(grep -c '^Container image "registry:5001/busybox:1" already present on machine$' <<<"$words")"
    has "$(told here Pulling; told there Pulling)" 'Pulling image "registry:5001/busybox:1"'
}

case_pull_policies() {
    # (The same image in other words has another digest.)
    manifest_of towline/entry 1 | jq . | put_manifest towline/entry moving
    on_login "rm -rf .towline/images/*entry%3Amoving"
    with_policy() {
        pod "$1" <<END
containers: [{name: main, image: "$TESTBED_REGISTRY/towline/entry:moving", imagePullPolicy: $2, command: [echo, "$1"]}]
END
    }
    with_policy never Never
    until_waiting never ErrImageNeverPull
    with_policy first IfNotPresent
    until_phase first Succeeded
    manifest_of towline/entry 1 | jq -c . | put_manifest towline/entry moving
    with_policy kept IfNotPresent
    until_phase kept Succeeded
    same 'the image that was there' "$(image_id first)" "$(image_id kept)"
    with_policy newest Always
    until_phase newest Succeeded
    [ "$(image_id newest)" != "$(image_id first)" ] || wrong 'a newer image was not looked for'
    with_policy again Always
    until_phase again Succeeded
    same 'the newest image' "$(image_id newest)" "$(image_id again)"
    same versions 2 "$(images_of '*entry%3Amoving' | wc -l)"
    k delete pod never --wait=false >/dev/null
}

# with_config SED-SCRIPT: the node goes on with another configuration.
with_config() {
    sed "$1" "$TESTBED_DIR/node.yaml" >"$T/node.yaml"
    "$driver" node --name "$name" --no-build --config "$T/node.yaml" >/dev/null
}
case_mirrors_and_images_of_the_node() {
    trap '"$driver" node --name "$name" --no-build >/dev/null' EXIT
    with_config 's|plainHTTP: \[|plainHTTP: ["registry:5009", |; s|rewrites: \[|rewrites: [{from: docker.io/mirrored/, to: "registry:5009/", mirrors: ["/nowhere/", "registry:5000/no/", "registry:5000/"]}, |'
    pod mirrored <<END
containers: [{name: main, image: mirrored/busybox:1, imagePullPolicy: Always, command: [echo, here]}]
END
    until_phase mirrored Succeeded
    has "$(image_id mirrored)" 'registry:5000/busybox@sha256:'
    pod nowhere <<END
containers: [{name: main, image: mirrored/nothing:1, command: [echo, never]}]
END
    said() { told nowhere Failed | grep 'registry:5009/nothing:1: .*there is no image /nowhere/nothing:1; registry:5000/no/nothing:1: .*registry:5000/nothing:1: '; }
    wait_for 90 'the words of all registries' said
    until_waiting nowhere ImagePullBackOff
    k delete pod nowhere --wait=false >/dev/null
    # What the scheduler is told: at the start of a node, and every five minutes.
    "$driver" node --name "$name" --no-build --config "$T/node.yaml" >/dev/null
    named() { kubectl get node "$node" -o json | jq -e --arg id "$(image_id mirrored)" '.status.images[] | select((.names | index($id)) and (.names | any(endswith("busybox:1"))) and .sizeBytes > 1000000)'; }
    wait_for 60 'the images of the node' named
}

case_images_that_nobody_needs() {
    simple needs 'echo up; until [ -e /tmp/over ]; do sleep 0.2; done'
    pod once <<END
containers: [{name: main, image: "$TESTBED_REGISTRY/towline/entry:1", imagePullPolicy: IfNotPresent, command: [echo, once]}]
END
    until_phase once Succeeded
    wait_for 60 'the pod to be up' has_log needs up
    uid=$(uid_of once)
    k delete pod once --wait=false >/dev/null
    until_gone once
    wait_for 30 'its directory to go' has_no_directory "$uid"
    on_login 'touch -d "40 days ago" .towline/images/*/v*/used'
    fate() { towline gc "$@" -o json login | jq -r '.[] | select(.kind == "image") | select(.what | startswith("'"$TESTBED_REGISTRY"'")) | "\(.removed) \(.what | sub(" .*"; ""))"'; }
    removed() { fate --dry-run | grep -q "^true $TESTBED_REGISTRY/towline/entry:1$"; }
    wait_for 30 'gc to see that nobody needs it' removed
    [ "$(images_of '*entry%3A1' | wc -l)" -ge 1 ] || wrong 'a dry run has taken it'
    said=$(fate)
    has "$said" "true $TESTBED_REGISTRY/towline/entry:1"
    has "$said" "false $TESTBED_REGISTRY/busybox:1"
    same 'what is left' '' "$(images_of '*entry%3A1')"
    # The one that a pod needs is still in use; the other one is pulled again.
    k exec needs -- touch /tmp/over
    until_phase needs Succeeded
    pod anew <<END
containers: [{name: main, image: "$TESTBED_REGISTRY/towline/entry:1", imagePullPolicy: IfNotPresent, command: [echo, anew]}]
END
    until_phase anew Succeeded
    until_event anew Pulled
    has "$(told anew Pulled)" 'Successfully pulled image'
}

case_a_registry_that_hangs() {
    docker exec -d "$(container_of login)" timeout 300 python3 -c 'import socket, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 5998))
s.listen(50)
time.sleep(300)'
    pod hangs <<END
containers: [{name: main, image: "login:5998/silent:1", command: [echo, never]}]
END
    pulls() { field hangs '{.status.containerStatuses[0].state.waiting.message}' | grep -q '^Pulling image "login:5998/silent:1"$'; }
    wait_for 60 'the pull' pulls
    until_event hangs Pulling
    until_waiting hangs ErrImagePull
    has "$(field hangs '{.status.containerStatuses[0].state.waiting.message}')" 'login:5998 did not answer within 20 s'
    until_waiting hangs ImagePullBackOff
    k delete pod hangs --wait=false >/dev/null
    until_gone hangs
}

# Whoever else works on the cluster sees no secret: not in the arguments of processes, not in what Slurm tells, not in files.
case_no_secret_is_seen() {
    secret=S3cr3t-$RANDOM$RANDOM mark=m4rk-$RANDOM$RANDOM
    k create secret generic hidden --from-literal="password=$secret-env" --from-literal="file=$secret-file" >/dev/null
    k create secret docker-registry pull --docker-server="$TESTBED_REGISTRY" --docker-username=me --docker-password="$secret-pull" >/dev/null
    hosts='login c1 c2'
    over() { for host in $hosts; do docker exec "$(container_of "$host")" "$@"; done; }
    over rm -f /tmp/e2e-over
    # The second user looks at all processes, from before the pod is there until it is over.
    for host in $hosts; do
        docker exec -u bob "$(container_of "$host")" timeout 300 sh -c 'until [ -e /tmp/e2e-over ]; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null; sleep 0.1; done' |
            tr '\0' '\n' | grep -a -o -e "${secret}[a-z-]*" -e "$mark" >"$T/seen.$host" &
    done
    trap 'over rm -f /tmp/e2e-over' EXIT
    meta='  annotations: {towline.dev/comment: ordinary}' pod secretive <<END
imagePullSecrets: [{name: pull}]
containers:
  - name: main
    image: $image
    imagePullPolicy: Always
    command: [sh, -c, 'echo up; [ -n "\$PASSWORD" ] && cat /hidden/file | wc -c; until [ -e /tmp/over ]; do sleep 0.2; done', $mark]
    env:
      - {name: PASSWORD, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
      - {name: my.password, valueFrom: {secretKeyRef: {name: hidden, key: password}}}
    readinessProbe: {exec: {command: ["true"]}, periodSeconds: 1}
    volumeMounts: [{name: hidden, mountPath: /hidden}]
volumes: [{name: hidden, secret: {secretName: hidden}}]
END
    wait_for 90 'the pod to be up' has_log secretive up
    job=$(jobs_of "$(uid_of secretive)")
    tell() {
        for host in $hosts; do
            # (The pattern is no argument: it would be seen.)
            docker exec -i -u bob "$(container_of "$host")" grep -rsl -f - /tmp /var/tmp /dev/shm /run /var/spool /var/log /home /etc <<<"$secret"
        done
        docker exec -u bob "$(container_of login)" sh -c "scontrol -dd show job $job; squeue -o %all; sacct -P -o all -j $job"
        # (What only the site's operators see, and what accounting keeps.)
        as_operator sh -c "scontrol -dd show job $job; scontrol write batch_script $job -; sacct -P -o all -j $job; sacct -B -j $job; sacct --env-vars -j $job"
    }
    tell >"$T/told" 2>&1 || true
    # (No shell knows of a variable of such a name: its processes have it nonetheless.)
    same 'the variable that no shell can export' "my.password=$secret-env" "$(k exec secretive -- cat /proc/self/environ | tr '\0' '\n' | grep '^my')"
    k exec secretive -- touch /tmp/over
    until_phase secretive Succeeded
    tell >>"$T/told" 2>&1 || true
    over touch /tmp/e2e-over
    wait
    has "$(cat "$T/told")" "JobId=$job"
    { k get events -o yaml; k get pod secretive -o yaml; cat "$TESTBED_DIR/log/node.log"; on_login "cat .towline/agents/$node/pods/$(uid_of secretive)/supervisor.log"; } >>"$T/told"
    # (The search finds what is there to be found.)
    grep -q "$mark" "$T/seen.c1" "$T/seen.c2" || wrong 'the processes were not looked at'
    same 'processes that show a secret' '' "$(grep -h "$secret" "$T"/seen.* | sort -u)"
    same 'where a secret stands' '' "$(grep -n "$secret" "$T/told" | head -n 5)"
}
