# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# What pods may ask for, as docs/pods.md and docs/annotations.md say. (The site's policy stands in lib/node.sh.)

# job_of NAME: what Slurm knows about the pod's job, one field a line.
job_of() {
    local job
    wait_for 60 "a job of $1" eval "[ -n \"\$(jobs_of $(uid_of "$1"))\" ]"
    job=$(jobs_of "$(uid_of "$1")" | head -n 1)
    on_login "scontrol show job $job" | tr ' ' '\n'
}
# until_refused NAME REASON TEXT
until_refused() {
    until_phase "$1" Failed
    same reason "$2" "$(field "$1" '{.status.reason}')"
    has "$(field "$1" '{.status.message}')" "$3"
    same jobs '' "$(jobs_of "$(uid_of "$1")")"
}

case_names_of_hosts() {
    pod named <<END
hostname: short
subdomain: sub
setHostnameAsFQDN: true
hostAliases: [{ip: 192.0.2.7, hostnames: [another.example, another]}]
dnsConfig: {searches: [more.example], options: [{name: ndots, value: "2"}]}
containers: [{name: main, image: $image, command: [sh, -c, 'hostname; cat /etc/hosts /etc/resolv.conf']}]
END
    pod alone <<END
dnsPolicy: None
dnsConfig: {nameservers: [192.0.2.53], searches: [only.example]}
containers: [{name: main, image: $image, command: [cat, /etc/resolv.conf]}]
END
    until_phase named Succeeded
    same hostname "short.sub.$ns.svc.cluster.local" "$(k logs named | head -n 1)"
    has "$(k logs named)" $'192.0.2.7\tanother.example\tanother'
    has "$(k logs named)" localhost
    has "$(k logs named)" more.example
    has "$(k logs named)" ndots:2
    until_phase alone Succeeded
    same resolver $'nameserver 192.0.2.53\nsearch only.example' "$(k logs alone)"
}

case_ports_of_the_node() {
    pod ports <<END
hostNetwork: true
containers: [{name: main, image: $image, command: [hostname], ports: [{containerPort: 8080, hostPort: 8080}]}]
END
    until_phase ports Succeeded
    pod mapped <<END
containers: [{name: main, image: $image, command: [hostname], ports: [{containerPort: 8080, hostPort: 80}]}]
END
    until_refused mapped UnsupportedField 'hostPort 80'
}

case_resources_of_the_pod() {
    pod whole <<END
resources: {requests: {cpu: "2", memory: 200Mi}, limits: {cpu: "2", memory: 200Mi}}
containers: [{name: main, image: $image, command: [sleep, "5"]}]
END
    has "$(job_of whole)" NumCPUs=2
    has "$(job_of whole)" MinMemoryNode=456M
    until_phase whole Succeeded
}

# As Helm charts write it by default.
case_security_as_charts_ask_for_it() {
    pod chart <<END
securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, supplementalGroups: [4000], seccompProfile: {type: RuntimeDefault}}
containers:
  - name: main
    image: $image
    command: [sh, -c, 'id -u; id -g; touch /data/file /anywhere && cat /secret/key && ls /data']
    securityContext: {allowPrivilegeEscalation: false, privileged: false, runAsGroup: 3001, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: data, mountPath: /data}, {name: secret, mountPath: /secret}]
  - {name: root, image: $image, command: [id, -u], securityContext: {runAsNonRoot: false, runAsUser: 0}}
volumes: [{name: data, emptyDir: {}}, {name: secret, secret: {secretName: chart, defaultMode: 0400}}]
END
    k create secret generic chart --from-literal=key=hidden >/dev/null
    until_phase chart Succeeded
    same 'who it is' '1000 3001' "$(k logs chart -c main | head -n 2 | tr '\n' ' ' | sed 's/ $//')"
    has "$(k logs chart -c main)" hiddenfile
    same 'root inside' 0 "$(k logs chart -c root)"
    pod contradiction <<END
containers: [{name: main, image: $image, command: [id], securityContext: {runAsNonRoot: true, runAsUser: 0}}]
END
    until_waiting contradiction CreateContainerConfigError
}

# A registry that wants to know who asks, over the images of the open one.
case_image_pull_secrets() {
    # (Other cases have a registry of this name, which is open to everybody.)
    on_login 'rm -rf .towline/images/registry%3A5001*'
    docker exec -i "$(container_of registry)" sh -c 'cat >/tmp/private.htpasswd' <<'END'
pull:$2b$04$0UFDiB9eDrdEpGpDZLc2quWDpxvYX4U4tBthAqvJQ9pVhkOMUPA4a
END
    docker exec -i "$(container_of registry)" sh -c 'cat >/tmp/private.yml' <<'END'
version: 0.1
log: {level: warn}
storage: {filesystem: {rootdirectory: /var/lib/docker-registry}}
auth: {htpasswd: {realm: testbed, path: /tmp/private.htpasswd}}
http: {addr: ":5001"}
END
    docker exec -d "$(container_of registry)" docker-registry serve /tmp/private.yml
    private() { docker exec "$(container_of login)" curl -s -o /dev/null -w '%{http_code}' http://registry:5001/v2/ | grep -q 401; }
    wait_for 20 'the private registry' private
    trap 'docker exec "$(container_of registry)" sh -c "for p in /proc/[0-9]*; do tr \"\\0\" \" \" <\$p/cmdline | grep -q private.yml && kill \${p#/proc/}; done" 2>/dev/null || true' EXIT
    k create secret docker-registry mine --docker-server=registry:5001 --docker-username=pull --docker-password='open "sesame"' >/dev/null
    for image in towline/entry:1 busybox:1; do
        name=with-${image%%[/:]*}
        pod "$name" <<END
imagePullSecrets: [{name: not-there}, {name: mine}]
containers: [{name: main, image: "registry:5001/$image", imagePullPolicy: Always, command: [sh, -c, 'pwd; grep -r "ses[a]me" /.singularity.d/towline 2>/dev/null; echo done']}]
END
        until_phase "$name" Succeeded
    done
    # (The working directory is known only to who may read the image's configuration.)
    same log $'/work/dir\ndone' "$(k logs with-towline)"
    pod without <<END
containers: [{name: main, image: registry:5001/busybox:1, imagePullPolicy: IfNotPresent, command: [echo, never]}]
END
    wait_for 90 'the refusal' eval 'field without "{.status.containerStatuses[0].state.waiting.reason}" | grep -Eq "ErrImagePull|ImagePullBackOff"'
    k delete pod without --wait=false >/dev/null
    until_gone without
}

case_termination_message() {
    pod words <<END
containers:
  - {name: main, image: $image, command: [sh, -c, 'echo last words >/var/run/words; exit 3'], terminationMessagePath: /var/run/words}
  - {name: usual, image: $image, command: [sh, -c, 'echo usual >/dev/termination-log']}
END
    until_phase words Failed
    has "$(field words '{.status.containerStatuses[0].state.terminated.message}')" 'last words'
    has "$(field words '{.status.containerStatuses[1].state.terminated.message}')" usual
}

case_sub_paths() {
    pod subs <<END
initContainers:
  - {name: first, image: $image, command: [sh, -c, 'ln -s /etc /all/out; ls -d /all/a/b'], volumeMounts: [{name: v, mountPath: /all}, {name: v, mountPath: /b, subPath: a/b}]}
containers:
  - name: main
    image: $image
    command: [sh, -c, 'echo x >/sub/file; ls /all/by-main; cat /config/two']
    env: [{name: WHO, value: main}]
    volumeMounts:
      - {name: v, mountPath: /all}
      - {name: v, mountPath: /sub, subPathExpr: by-\$(WHO)}
      - {name: config, mountPath: /config/two, subPath: two}
volumes: [{name: v, emptyDir: {}}, {name: config, configMap: {name: subs}}]
END
    k create configmap subs --from-literal=one=1 --from-literal=two=second >/dev/null
    until_phase subs Succeeded
    same log $'file\nsecond' "$(k logs subs -c main)"
    # A link that a container planted leads nowhere.
    pod planted <<END
initContainers: [{name: first, image: $image, command: [ln, -s, /etc, /all/out], volumeMounts: [{name: v, mountPath: /all}]}]
containers: [{name: main, image: $image, command: [ls, /out], volumeMounts: [{name: v, mountPath: /out, subPath: out}]}]
volumes: [{name: v, emptyDir: {}}]
END
    until_phase planted Failed
    has "$(field planted '{.status.containerStatuses[0].state.terminated.message}')" 'leads out'
}

case_host_paths() {
    on_login 'mkdir -p open/there && echo content >open/there/file && mkdir -p closed && ln -sfn ../closed open/out'
    pod paths <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, 'cat /there/file; echo new >/made/file; touch /there/x 2>/dev/null || echo read-only']
    volumeMounts: [{name: there, mountPath: /there, readOnly: true}, {name: made, mountPath: /made}]
volumes: [{name: there, hostPath: {path: /home/alice/open/there, type: Directory}}, {name: made, hostPath: {path: /home/alice/open/$ns, type: DirectoryOrCreate}}]
END
    until_phase paths Succeeded
    same log $'content\nread-only' "$(k logs paths)"
    same 'on the cluster' new "$(on_login "cat open/$ns/file")"
    for path in /etc /home/alice/.ssh /home/alice/opened; do
        name=closed-$(basename "$path" | tr -d .)
        pod "$name" <<END
containers: [{name: main, image: $image, command: [ls], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, hostPath: {path: $path}}]
END
        until_refused "$name" UnsupportedVolume 'opens no directory'
    done
    pod linked <<END
containers: [{name: main, image: $image, command: [ls, /v], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, hostPath: {path: /home/alice/open/out}}]
END
    until_phase linked Failed
    has "$(field linked '{.status.containerStatuses[0].state.terminated.message}')" 'leads out'
}

# persistent NAME PATH: a volume that an administrator made, and the namespace's claim for it.
persistent() {
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $ns-$1}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], persistentVolumeReclaimPolicy: Retain, storageClassName: '', hostPath: {path: $2}, claimRef: {namespace: $ns, name: $1}}
END
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: $1}
spec: {accessModes: [ReadWriteMany], storageClassName: '', volumeName: $ns-$1, resources: {requests: {storage: 1Gi}}}
END
}
case_persistent_volumes() {
    on_login "mkdir -p volumes/$ns"
    trap 'kubectl delete pv --wait=false "$ns-data" "$ns-elsewhere" >/dev/null 2>&1 || true' EXIT
    pod claims <<END
containers: [{name: main, image: $image, command: [sh, -c, 'echo kept >/data/file; mkdir /data/s; echo sub >/data/s/f; ls /s'], volumeMounts: [{name: v, mountPath: /data}, {name: v, mountPath: /s, subPath: s}]}]
volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]
END
    until_waiting claims CreateContainerConfigError
    persistent data "/exports/$ns"
    until_phase claims Succeeded
    same 'on the cluster' kept "$(on_login "cat volumes/$ns/file")"
    pod reads <<END
containers: [{name: main, image: $image, command: [sh, -c, 'cat /data/file; touch /data/x 2>/dev/null || echo read-only'], volumeMounts: [{name: v, mountPath: /data}]}]
volumes: [{name: v, persistentVolumeClaim: {claimName: data, readOnly: true}}]
END
    until_phase reads Succeeded
    same log $'kept\nread-only' "$(k logs reads)"
    persistent elsewhere /not/mapped
    pod unmapped <<END
containers: [{name: main, image: $image, command: [ls], volumeMounts: [{name: v, mountPath: /data}]}]
volumes: [{name: v, persistentVolumeClaim: {claimName: elsewhere}}]
END
    until_refused unmapped UnsupportedVolume 'no rule where on the cluster /not/mapped is'
}

case_annotations() {
    meta=$'  annotations: {towline.dev/flavour: wide, towline.dev/mail-type: NONE, towline.dev/tasks: "3", towline.dev/walltime: "0:10:00"}'
    pod annotated <<END
containers: [{name: main, image: $image, command: [sleep, "5"]}]
END
    job=$(job_of annotated)
    has "$job" NumCPUs=3
    has "$job" NumTasks=3
    has "$job" Comment=wide
    has "$job" TimeLimit=00:10:00
    until_phase annotated Succeeded
    n=0
    while IFS='|' read -r annotation reason said <&3; do
        n=$((n + 1))
        meta="  annotations: {$annotation}"
        pod "bad$n" <<END
containers: [{name: main, image: $image, command: [echo, never]}]
END
        until_refused "bad$n" "$reason" "$said"
    done 3<<'END'
towline.dev/partition: nowhere|InvalidPartition|no partition nowhere
towline.dev/flags: "--nice=5"|InvalidRequest|flags
towline.dev/queue: x|InvalidRequest|no annotation
towline.dev/walltime: "999-0"|WalltimeLimit|allows
slurm-job.vk.io/pre-exec: "module load x"|InvalidRequest|init container
END
    same tried 5 "$n"
}

# A manifest as it is written for interLink.
case_interlink_annotations() {
    on_login 'mkdir -p open && echo shared >open/shared'
    meta='  annotations: {slurm-job.vk.io/flags: "--job-name=theirs -t 00:15:00 --ntasks-per-node=2 --gres=gpu:1 --mem=300M", slurm-job.vk.io/flavor: wide, slurm-job.vk.io/singularity-mounts: "--bind /home/alice/open:/opened:ro", slurm-job.vk.io/singularity-options: "--nv --no-home", slurm-job.vk.io/image-root: "docker://'$TESTBED_REGISTRY'/"}'
    pod theirs <<END
containers: [{name: main, image: "busybox:1", command: [sh, -c, 'cat /opened/shared; sleep 4']}]
END
    job=$(job_of theirs)
    has "$job" Comment=theirs
    has "$job" TimeLimit=00:15:00
    has "$job" NumTasks=2
    has "$job" gres/gpu
    until_phase theirs Succeeded
    same log shared "$(k logs theirs)"
}

case_daemon_sets_do_not_run() {
    k apply -f - >/dev/null <<END
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: everywhere}
spec:
  selector: {matchLabels: {app: everywhere}}
  template:
    metadata: {labels: {app: everywhere}}
    spec: {tolerations: [{operator: Exists}], containers: [{name: main, image: $image, command: [sleep, "600"]}]}
END
    one() { k get pods -l app=everywhere -o 'jsonpath={.items[0].metadata.name}'; }
    wait_for 60 'a pod of the DaemonSet' eval '[ -n "$(one)" ]'
    until_waiting "$(one)" DaemonSetNotRun
    same phase Pending "$(phase "$(one)")"
    same jobs '' "$(jobs_of "$(uid_of "$(one)")")"
}
