# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Rows of docs/pods.md that need more than a pod: a RuntimeClass, a claim that is made for the pod, servers that speak TLS
# and gRPC.

# runtime_class NAME HANDLER [MORE]: of the whole Kubernetes cluster; it goes with the case.
runtime_class() {
    kubectl apply -f - >/dev/null <<END
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: $1}
handler: $2
${3:-}
END
}

# The class that the site maps runs its pods without an image, as processes of the compute node; what it says that a pod costs
# is added to the job.
case_runtime_classes() {
    trap 'kubectl delete runtimeclass direct "$ns" --ignore-not-found >/dev/null' EXIT
    runtime_class direct direct 'overhead: {podFixed: {cpu: 1500m, memory: 300Mi}}'
    runtime_class "$ns" "$ns"
    pod classed <<END
runtimeClassName: direct
automountServiceAccountToken: false
containers: [{name: main, image: $image, command: [sh, -c, '. /etc/os-release; echo "on \$ID"; trap "exit 0" TERM; while :; do sleep 0.1; done'], resources: {requests: {cpu: 500m, memory: 100Mi}}}]
END
    job=$(job_of classed)
    has "$job" NumCPUs=2
    # (256 MiB are for what runs the pod.)
    has "$job" 'mem=656M'
    wait_for 90 'what it runs on' has_log classed '^on debian$'
    k delete pod classed --wait=false >/dev/null
    pod unknown <<END
runtimeClassName: $ns
containers: [{name: main, image: $image, command: ["true"]}]
END
    until_refused unknown UnsupportedRuntimeClass "no container runtime for the RuntimeClass $ns"
}

# A claim that Kubernetes makes for the pod and takes away with it; and a name of its host that only the pod itself knows.
case_a_claim_for_the_pod() {
    trap 'kubectl delete pv --wait=false "$ns" >/dev/null 2>&1 || true' EXIT
    on_login "rm -rf volumes/$ns && mkdir -p volumes/$ns"
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $ns}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, storageClassName: '', hostPath: {path: /exports/$ns}, claimRef: {namespace: $ns, name: own-scratch}}
END
    pod own <<END
hostname: ordinary
hostnameOverride: chosen.example.org
containers: [{name: main, image: $image, command: [sh, -c, 'hostname | tee /scratch/name'], volumeMounts: [{name: scratch, mountPath: /scratch}]}]
volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {metadata: {labels: {made: for-the-pod}}, spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}}}}]
END
    until_phase own Succeeded
    same 'its host' chosen.example.org "$(k logs own)"
    same 'on the cluster' chosen.example.org "$(on_login "cat volumes/$ns/name")"
    same 'the claim is' for-the-pod "$(k get persistentvolumeclaim own-scratch -o 'jsonpath={.metadata.labels.made}')"
    # Somebody else's claim of that name is not the pod's.
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: other-scratch}
spec: {accessModes: [ReadWriteOnce], storageClassName: '', volumeName: $ns, resources: {requests: {storage: 1Gi}}}
END
    pod other <<END
containers: [{name: main, image: $image, command: ["true"], volumeMounts: [{name: scratch, mountPath: /scratch}]}]
volumes: [{name: scratch, ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}}}}]
END
    until_waiting other CreateContainerConfigError
    k delete pod own --wait=false >/dev/null
    until_gone own
    no_claim() { ! k get persistentvolumeclaim own-scratch; }
    wait_for 60 'the claim to go with its pod' no_claim
}

# Probes of a real server over TLS (whose certificate nobody vouches for) and gRPC, with all that it may answer. What stands in
# its volume is what it says.
case_probes_of_real_servers() {
    local server port
    server=$("$driver" extra health --name "$TESTBED_NAME")
    port=$((20000 + RANDOM % 10000))
    policy=Always pod asked <<END
terminationGracePeriodSeconds: 3
containers:
  - name: server
    image: $server
    command: [sh, -c, 'echo SERVING >/says/lives; [ -e /says/started ] || echo NOT_SERVING >/says/started; exec health /says $port $((port + 1))']
    ports: [{name: https, containerPort: $port}]
    startupProbe: {grpc: {port: $((port + 1)), service: started}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 600}
    livenessProbe: {grpc: {port: $((port + 1)), service: lives}, periodSeconds: 1, timeoutSeconds: 10, failureThreshold: 2}
    readinessProbe: {httpGet: {scheme: HTTPS, port: https, path: /ready}, periodSeconds: 1, timeoutSeconds: 10}
    lifecycle: {preStop: {httpGet: {scheme: HTTPS, port: https, path: /stop}}}
    volumeMounts: [{name: says, mountPath: /says}]
volumes: [{name: says, emptyDir: {}}]
END
    until_says asked Unhealthy 'Startup probe failed: service unhealthy (responded with .NOT_SERVING.)'
    same started false "$(state asked server .started)"
    inside asked server 'echo SERVING >/says/started'
    until_says asked Unhealthy 'Readiness probe failed: HTTP probe failed with statuscode: 503'
    same 'started, and not ready' 'true false' "$(state asked server '"\(.started) \(.ready)"')"
    inside asked server 'touch /says/ready'
    until_ready asked True
    k logs -f asked >"$T/first" &
    follower=$!
    inside asked server 'rm /says/lives'
    until_says asked Unhealthy 'Liveness probe failed: '
    until_state asked server '"\(.restartCount) \(.started) \(.ready)"' '1 true true'
    wait "$follower"
    has "$(cat "$T/first")" '/stop of kube-lifecycle/'
    has "$(cat "$T/first")" '/ready of kube-probe/'
    k delete pod asked --wait=false >/dev/null
    until_gone asked
}

# Without Kubernetes: the claims of a file get its volumes, which are where the command line says.
case_run_with_persistent_volumes() {
    on_login "rm -rf volumes/$ns open/$ns && mkdir -p volumes/$ns open/$ns && echo opened >open/$ns/file"
    cat >"$T/file.yaml" <<END
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: results}
spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: share}
spec: {capacity: {storage: 5Gi}, accessModes: [ReadWriteOnce, ReadWriteMany], nfs: {server: files.example.org, path: /exports/$ns}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  restartPolicy: Never
  containers: [{name: main, image: "busybox:1", command: [sh, -c, 'cat /open/file | tee /results/kept; touch /open/x 2>/dev/null || echo read-only'], volumeMounts: [{name: results, mountPath: /results}, {name: open, mountPath: /open}]}]
  volumes: [{name: results, persistentVolumeClaim: {claimName: results}}, {name: open, hostPath: {path: /home/alice/open/$ns}}]
END
    timeout 120 towline run -f "$T/file.yaml" --quiet --volume nfs://files.example.org/exports=/home/alice/volumes --host-path /home/alice/open:ro login \
        >"$T/said" 2>"$T/errors" || wrong "$(cat "$T/errors")"
    same log $'opened\nread-only' "$(cat "$T/said")"
    same 'on the cluster' opened "$(on_login "cat volumes/$ns/kept")"
    ! timeout 120 towline run -f "$T/file.yaml" --quiet --host-path /home/alice/open login >"$T/said" 2>"$T/errors" || wrong 'it ran on a volume that is nowhere'
    has "$(cat "$T/errors")" 'no rule where on the cluster nfs://files.example.org/exports'
}
