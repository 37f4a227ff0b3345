# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Volumes that live: what changes in the API reaches pods that wait and run; what they fill has a limit.

# on_cluster NAME: the file on the cluster that says what the volumes of the pod hold.
on_cluster() { on_login "cat .towline/agents/$node/pods/$(uid_of "$1")/content"; }
# set_config NAME ARGUMENT…: makes a ConfigMap, or makes it another one.
set_config() { k create configmap "$1" "${@:2}" --dry-run=client -o yaml | k apply -f - >/dev/null 2>&1; }

# Two keys that are never seen in different versions, labels, a part that stays, and an object that cannot change.
case_changes_reach_running_pods() {
    set_config words --from-literal=x=one --from-literal=y=one --from-literal=gone=one
    k create secret generic hidden --from-literal=key=one >/dev/null
    for n in 1 2 3; do
        meta=$'  labels: {state: one}'
        pod "p$n" <<END
containers:
  - name: main
    image: $image
    command:
      - sh
      - -c
      - |
        echo up
        until grep -q two /secret/key && grep -q two /own/labels && [ -e /words/added ] && [ -e /later/key ]; do
          cd /words/..data/ && x=\$(cat x) && y=\$(cat y)
          [ "\$x" = "\$y" ] || echo torn
          cd / && sleep 0.05
        done
        cat /words/x /words/y /part; ls /words; cat /later/key
        touch /words/new 2>/dev/null || echo read-only
    volumeMounts:
      - {name: words, mountPath: /words}
      - {name: words, mountPath: /part, subPath: x}
      - {name: secret, mountPath: /secret}
      - {name: own, mountPath: /own}
      - {name: later, mountPath: /later}
volumes:
  - {name: words, configMap: {name: words}}
  - {name: secret, projected: {sources: [{secret: {name: hidden}}]}}
  - {name: own, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: later, configMap: {name: later, optional: true}}
END
    done
    for n in 1 2 3; do wait_for 120 'the pods to be up' has_log "p$n" up; done
    same 'nothing was sent' '0 0 0' "$(for n in 1 2 3; do on_cluster "p$n" | cut -d' ' -f1; done | tr '\n' ' ' | sed 's/ $//')"
    set_config words --from-literal=x=two --from-literal=y=two --from-literal=added=two
    k create secret generic hidden --from-literal=key=two --dry-run=client -o yaml | k apply -f - >/dev/null 2>&1
    k create configmap later --from-literal=key=here >/dev/null
    k label pod --overwrite p1 p2 p3 state=two >/dev/null
    for n in 1 2 3; do
        until_phase "p$n" Succeeded
        same log "up twotwooneadded x y hereread-only" "$(k logs "p$n" | tr '\n' ' ' | sed 's/ $//')"
    done
}

# A pod that nobody can start yet has the newest files when it starts, and one upload was for all.
case_changes_reach_pods_in_the_queue() {
    as_operator scontrol update partitionname=debug state=down
    trap 'as_operator scontrol update partitionname=debug state=up' EXIT
    set_config words --from-literal=key=one
    k apply -f - >/dev/null <<END
{apiVersion: v1, kind: ConfigMap, metadata: {name: fixed}, immutable: true, data: {key: fixed}}
END
    for n in 1 2; do
        pod "q$n" <<END
containers: [{name: main, image: $image, command: [cat, /words/key, /fixed/key], volumeMounts: [{name: words, mountPath: /words}, {name: fixed, mountPath: /fixed}]}]
volumes: [{name: words, configMap: {name: words}}, {name: fixed, configMap: {name: fixed}}]
END
    done
    # (What somebody deletes stays with the pods that have it.)
    for n in 1 2; do wait_for 60 'what is on the cluster' eval "on_cluster q$n | grep -q '^0 '"; done
    k delete configmap fixed >/dev/null
    set_config words --from-literal=key=two
    for n in 1 2; do wait_for 90 'the update' eval "on_cluster q$n | grep -Eq '^[1-9]'"; done
    ! event q1 FailedMount || wrong 'what cannot change is asked for'
    same 'uploads' 1 "$(for n in 1 2; do on_cluster "q$n" | cut -d' ' -f1; done | sort -u | wc -l)"
    as_operator scontrol update partitionname=debug state=up
    for n in 1 2; do
        until_phase "q$n" Succeeded
        same log twofixed "$(k logs "q$n")"
    done
}

# What the pod needs and is not there any more stays as it was, and the pod's events say so.
case_what_goes_away_stays_in_the_pod() {
    set_config words --from-literal=key=one
    pod left <<END
containers: [{name: main, image: $image, command: [sh, -c, 'echo up; until [ -e /tmp/end ]; do sleep 0.2; done; cat /words/key'], volumeMounts: [{name: words, mountPath: /words}]}]
volumes: [{name: words, configMap: {name: words}}]
END
    wait_for 90 'the pod to be up' has_log left up
    k delete configmap words >/dev/null
    wait_for 90 'the event' event left FailedMount
    k exec left -- touch /tmp/end
    until_phase left Succeeded
    same log $'up\none' "$(k logs left)"
}

# claims: what the token on standard input says.
claims() { cut -d. -f2 | tr '_-' '/+' | awk '{ while (length($0) % 4) $0 = $0 "="; print }' | base64 -d; }

# The time at which they are due is moved to the past on the cluster, where a restarted agent reads it.
case_tokens_are_renewed() {
    for n in 1 2; do
        pod "t$n" <<END
containers: [{name: main, image: $image, command: [sh, -c, 'echo up; until [ -e /tmp/end ]; do sleep 0.2; done'], volumeMounts: [{name: vault, mountPath: /vault}]}]
volumes: [{name: vault, projected: {sources: [{serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}}]}}]
END
    done
    for n in 1 2; do wait_for 90 'the pods to be up' has_log "t$n" up; done
    first=$(k exec t1 -- cat /vault/token)
    other=$(k exec t2 -- cat /vault/token)
    same audience vault "$(printf %s "$first" | claims | jq -r '.aud[0]')"
    same 'bound to' "$(uid_of t1)" "$(printf %s "$first" | claims | jq -r '."kubernetes.io".pod.uid')"
    made=$(printf %s "$first" | claims | jq -r .iat)
    same 'due after' 480 "$(($(on_cluster t1 | cut -d' ' -f2) - made))"
    "$driver" node --name "$name" stop >/dev/null
    file=.towline/agents/$node/pods/$(uid_of t1)/content
    on_login "sed 's/^0 [0-9]*/0 1/' $file >due && cat due >$file && rm due"
    "$driver" node --name "$name" --no-build >/dev/null
    renewed() { second=$(k exec t1 -- cat /vault/token) && [ "$second" != "$first" ]; }
    wait_for 120 'a new token' renewed
    second=$(k exec t1 -- cat /vault/token)
    same audience vault "$(printf %s "$second" | claims | jq -r '.aud[0]')"
    [ "$(printf %s "$second" | claims | jq -r .exp)" -gt "$(printf %s "$first" | claims | jq -r .exp)" ] || wrong 'it ends no later'
    # The other one was not due, and the way there was not made for it.
    same 'the other token' "$other" "$(k exec t2 -- cat /vault/token)"
    same 'sent to the other one' 0 "$(on_cluster t2 | cut -d' ' -f1)"
    for n in 1 2; do k exec "t$n" -- touch /tmp/end; done
    for n in 1 2; do until_phase "t$n" Succeeded; done
}

case_emptydirs_in_memory() {
    pod inmemory <<END
initContainers: [{name: first, image: $image, command: [sh, -c, 'echo kept >/m/file'], volumeMounts: [{name: m, mountPath: /m}]}]
containers:
  - name: main
    image: $image
    command: [sh, -c, 'cat /m/file /sub/../m/file; grep -c " /m tmpfs " /proc/mounts; echo x >/sub/x; ls /m']
    volumeMounts: [{name: m, mountPath: /m}, {name: m, mountPath: /sub, subPath: part}]
volumes: [{name: m, emptyDir: {medium: Memory, sizeLimit: 10Mi}}]
END
    until_phase inmemory Succeeded
    same log $'kept\nkept\n1\nfile\npart' "$(k logs inmemory)"
    uid=$(uid_of inmemory)
    no_memory() { ! docker exec "$(container_of c1)" ls /dev/shm | grep -q "$uid" && ! docker exec "$(container_of c2)" ls /dev/shm | grep -q "$uid"; }
    wait_for 30 'the memory to be given back' no_memory
}

case_limits_of_what_a_pod_may_fill() {
    policy=Always
    pod filler <<END
containers: [{name: main, image: $image, command: [sh, -c, 'head -c 3000000 /dev/zero >/v/file; sleep 600'], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]
END
    pod writer <<END
containers: [{name: main, image: $image, command: [sh, -c, 'head -c 3000000 /dev/zero >/file; sleep 600'], resources: {requests: {ephemeral-storage: '0'}, limits: {ephemeral-storage: 2Mi}}}]
END
    pod modest <<END
containers: [{name: main, image: $image, command: [sh, -c, 'echo little >/v/file; sleep 600'], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]
END
    for evicted in filler writer; do
        until_phase "$evicted" Failed
        same reason Evicted "$(field "$evicted" '{.status.reason}')"
    done
    has "$(field filler '{.status.message}')" 'Usage of EmptyDir volume "v" exceeds the limit "1Mi"'
    has "$(field writer '{.status.message}')" 'ephemeral'
    same phase Running "$(phase modest)"
    k delete pod modest --grace-period=1 --wait=false >/dev/null
}

# ---- bad input

# A ConfigMap as large as they get, of bytes that are no text.
big_config() {
    head -c 1040000 /dev/urandom >"$T/big"
    k create configmap big --from-file=big="$T/big" >/dev/null
}
big_pod() {
    pod big <<END
containers: [{name: main, image: $image, command: [md5sum, /big/big], volumeMounts: [{name: big, mountPath: /big}]}]
volumes: [{name: big, configMap: {name: big}}]
END
}
case_a_config_map_of_a_mebibyte() {
    big_config
    big_pod
    until_phase big Succeeded
    same sum "$(md5sum <"$T/big" | cut -d' ' -f1)" "$(k logs big | cut -d' ' -f1)"
}

case_paths_that_lead_out_of_a_volume() {
    # These the API server does not take.
    for key in .. ../x a/b; do
        ! printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bad"},"data":{"%s":"x"}}' "$key" | k create -f - 2>"$T/said" || wrong "a key $key was taken"
        has "$(cat "$T/said")" 'Invalid value'
    done
    k create configmap good --from-literal=key=x >/dev/null
    one() { # MOUNT VOLUME: the pod `out`
        pod out <<END
containers: [{name: main, image: $image, command: [ls, /v], env: [{name: UP, value: ..}], volumeMounts: [{name: v, $1}]}]
volumes: [{name: v, $2}]
END
    }
    ! one 'mountPath: /v, subPath: ../x' 'emptyDir: {}' 2>/dev/null || wrong 'a subPath with .. was taken'
    ! one 'mountPath: /v' 'configMap: {name: good, items: [{key: key, path: ../x}]}' 2>/dev/null || wrong 'a path with .. was taken'
    # These we do not.
    n=0
    while IFS='|' read -r mount said <&3; do
        n=$((n + 1))
        one "$mount" 'emptyDir: {}'
        until_phase out Failed
        same reason UnsupportedMount "$(field out '{.status.reason}')"
        has "$(field out '{.status.message}')" "$said"
        same jobs '' "$(jobs_of "$(uid_of out)")"
        k delete pod out --wait=false >/dev/null
        until_gone out
    done 3<<'END'
mountPath: /|below /
mountPath: /a/../b|below /
END
    same tried 2 "$n"
    # What a variable makes of a path keeps the container waiting, as on a kubelet.
    one 'mountPath: /v, subPathExpr: $(UP)/x' 'emptyDir: {}'
    until_waiting out CreateContainerConfigError
    has "$(field out '{.status.containerStatuses[0].state.waiting.message}')" 'without `..`'
    same jobs '' "$(jobs_of "$(uid_of out)")"
    k delete pod out --wait=false >/dev/null
}

# The directory for uploads lies in a place that is full: a pod that does not fit waits, others are not harmed.
case_a_full_disk_on_the_cluster() {
    big_config
    agent=.towline/agents/$node
    on_login "mkdir -p /dev/shm/incoming && mv $agent/incoming $agent/incoming.real && ln -s /dev/shm/incoming $agent/incoming &&
        dd if=/dev/zero of=/dev/shm/full bs=1k count=\$((\$(df -k --output=avail /dev/shm | tail -n 1) - 400)) 2>/dev/null"
    trap 'on_login "rm -f /dev/shm/full $agent/incoming; mv $agent/incoming.real $agent/incoming; rm -rf /dev/shm/incoming"' EXIT
    big_pod
    says() { field big '{.status.containerStatuses[0].state.waiting.message}' | grep -q 'No space left on device'; }
    wait_for 90 'the reason' says
    same reason UploadFailed "$(field big '{.status.containerStatuses[0].state.waiting.reason}')"
    same phase Pending "$(phase big)"
    simple small 'echo fits'
    until_phase small Succeeded
    same jobs '' "$(jobs_of "$(uid_of big)")"
    on_login 'rm /dev/shm/full'
    wait_for 300 'the pod' in_phase big Succeeded
    same sum "$(md5sum <"$T/big" | cut -d' ' -f1)" "$(k logs big | cut -d' ' -f1)"
    same jobs 1 "$(jobs_of "$(uid_of big)" | wc -l)"
}
