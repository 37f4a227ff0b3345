# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# Workloads in the manner of public charts and operators, made by the controllers of Kubernetes and placed by its scheduler.

# placed: where the pods of a template may run, for the end of a pod's spec (six blanks deep).
placed() {
    printf '      nodeSelector: {kubernetes.io/hostname: %s}\n      tolerations: [{key: virtual-node.towline.dev/cluster, operator: Exists}]\n' "$node"
}
succeeded() { [ "$(k get "$1" -o 'jsonpath={.status.succeeded}')" = "${2:-1}" ]; }

# As `helm install` does it: the hook first, then what the chart is made of, then its test.
case_a_chart_with_hooks() {
    labels='{app.kubernetes.io/name: demo, app.kubernetes.io/instance: release, app.kubernetes.io/managed-by: Helm, helm.sh/chart: demo-0.1.0}'
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: ServiceAccount
metadata: {name: release-demo, labels: $labels}
automountServiceAccountToken: true
---
apiVersion: v1
kind: ConfigMap
metadata: {name: release-demo, labels: $labels}
data: {greeting: hello from the chart}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: release-demo-migrate
  labels: $labels
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-weight: "-5", helm.sh/hook-delete-policy: "before-hook-creation,hook-succeeded"}
spec:
  backoffLimit: 2
  activeDeadlineSeconds: 600
  ttlSecondsAfterFinished: 3600
  template:
    metadata: {labels: $labels}
    spec:
      serviceAccountName: release-demo
      restartPolicy: OnFailure
      securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532}
$(placed)
      initContainers:
        - name: wait-for-database
          image: $image
          command: [sh, -c, 'echo waiting; test -s /var/run/secrets/kubernetes.io/serviceaccount/token']
          securityContext: &tight {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: migrate
          image: "$image"
          imagePullPolicy: IfNotPresent
          command: ["/bin/sh", "-ec"]
          args: ["echo \"migrated: \$GREETING\" | tee /tmp/migrated; cat /tmp/migrated >/dev/termination-log"]
          securityContext: *tight
          env:
            - {name: GREETING, valueFrom: {configMapKeyRef: {name: release-demo, key: greeting}}}
            - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
          resources: {limits: {cpu: 500m, memory: 128Mi}, requests: {cpu: 100m, memory: 64Mi}}
          volumeMounts: [{name: tmp, mountPath: /tmp}]
      volumes: [{name: tmp, emptyDir: {}}]
END
    wait_for 120 'the hook' succeeded job/release-demo-migrate
    same log 'migrated: hello from the chart' "$(k logs job/release-demo-migrate -c migrate)"
    k delete job release-demo-migrate --wait=false >/dev/null
    k apply -f - >/dev/null <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: release-demo, labels: $labels}
spec:
  replicas: 1
  selector: {matchLabels: {app.kubernetes.io/name: demo, app.kubernetes.io/instance: release}}
  template:
    metadata: {labels: $labels, annotations: {checksum/config: "0"}}
    spec:
      serviceAccountName: release-demo
      terminationGracePeriodSeconds: 5
$(placed)
      containers:
        - {name: demo, image: "$image", command: [sh, -c, 'trap "exit 0" TERM; echo serving; sleep 600 & wait'], envFrom: [{configMapRef: {name: release-demo}}]}
END
    available() { [ "$(k get deployment release-demo -o 'jsonpath={.status.availableReplicas}')" = 1 ]; }
    wait_for 120 'the deployment to be available' available
    meta='  annotations: {helm.sh/hook: test}' pod release-demo-test <<END
containers: [{name: ask, image: "$image", command: [sh, -c, 'echo "\$GREETING"'], env: [{name: GREETING, valueFrom: {configMapKeyRef: {name: release-demo, key: greeting}}}]}]
END
    until_phase release-demo-test Succeeded
    k delete deployment release-demo >/dev/null
    none() { [ -z "$(k get pods -l app.kubernetes.io/instance=release -o name | grep -v migrate)" ]; }
    wait_for 120 'the pods to go' none
}

# What `helm create` writes, with its values alone (the image, and where its pods run), and beside it what charts have besides:
# hooks before and after, a store with a claim, a test. All of it by helm itself: installed, tested, upgraded, taken away.
case_a_chart_by_helm() {
    local helm web chart=$T/demo
    helm=$("$driver" extra helm --name "$TESTBED_NAME")
    web=$("$driver" extra web --name "$TESTBED_NAME")
    export HELM_CACHE_HOME=$T/cache HELM_CONFIG_HOME=$T/config HELM_DATA_HOME=$T/data
    (cd "$T" && "$helm" create demo >/dev/null)
    # (Its own test asks a Service by its name, and there is no network of Services here.)
    rm -r "$chart/templates/tests"
    cat >"$T/values.yaml" <<END
image: {repository: ${web%:*}, tag: "${web##*:}"}
nodeSelector: {kubernetes.io/hostname: $node}
tolerations: [{key: virtual-node.towline.dev/cluster, operator: Exists}]
resources: {requests: {cpu: "1", memory: 100Mi}}
replicaCount: 1
busybox: $image
greeting: one
END
    cat >"$chart/templates/more.yaml" <<'END'
{{- define "more.pod" }}
nodeSelector: {{- toYaml .Values.nodeSelector | nindent 2 }}
tolerations: {{- toYaml .Values.tolerations | nindent 2 }}
terminationGracePeriodSeconds: 5
{{- end }}
{{- range $hook, $line := dict
    "pre-install,pre-upgrade" "echo migrated to $GREETING"
    "post-install" "echo announced"
    "pre-delete" "cat /data/starts >/data/saved" }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ $.Release.Name }}-{{ splitList "," $hook | first }}
  annotations: {helm.sh/hook: "{{ $hook }}", helm.sh/hook-weight: "-5", helm.sh/hook-delete-policy: "before-hook-creation"}
spec:
  backoffLimit: 1
  template:
    metadata: {labels: {hook: {{ $.Release.Name }}}}
    spec:
      {{- include "more.pod" $ | nindent 6 }}
      restartPolicy: Never
      containers:
        - name: hook
          image: {{ $.Values.busybox }}
          command: [sh, -ec, {{ $line | quote }}]
          env: [{name: GREETING, value: {{ $.Values.greeting }}}]
          {{- if eq $hook "pre-delete" }}
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data-{{ $.Release.Name }}-store-0}}]
          {{- end }}
{{- end }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ .Release.Name }}-store
  labels: {{- include "demo.labels" . | nindent 4 }}
spec:
  serviceName: {{ .Release.Name }}-store
  replicas: 1
  selector: {matchLabels: {store: {{ .Release.Name }}}}
  template:
    metadata: {labels: {store: {{ .Release.Name }}}}
    spec:
      {{- include "more.pod" . | nindent 6 }}
      serviceAccountName: {{ include "demo.serviceAccountName" . }}
      containers:
        - name: store
          image: {{ .Values.busybox }}
          command: [sh, -c, 'trap "exit 0" TERM; echo "$GREETING" >>/data/starts; while :; do sleep 0.1; done']
          env: [{name: GREETING, value: {{ .Values.greeting }}}]
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata:
  name: {{ .Release.Name }}-test
  annotations: {helm.sh/hook: test, helm.sh/hook-delete-policy: before-hook-creation}
spec:
  {{- include "more.pod" . | nindent 2 }}
  restartPolicy: Never
  containers:
    - {name: test, image: {{ .Values.busybox }}, command: [cat, /data/starts], volumeMounts: [{name: data, mountPath: /data}]}
  volumes: [{name: data, persistentVolumeClaim: {claimName: data-{{ .Release.Name }}-store-0}}]
END
    trap 'kubectl delete pv --wait=false "$ns" >/dev/null 2>&1 || true' EXIT
    on_login "rm -rf volumes/$ns && mkdir -p volumes/$ns"
    kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $ns}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, storageClassName: '', hostPath: {path: /exports/$ns}, claimRef: {namespace: $ns, name: data-release-store-0}}
END
    released() { "$helm" --namespace "$ns" "$@" 2>&1 || wrong "helm $1: $(k get pods -o wide)"; }
    released install release "$chart" --values "$T/values.yaml" --wait --wait-for-jobs --timeout 5m
    same 'before' 'migrated to one' "$(k logs job/release-pre-install)"
    same 'after' announced "$(k logs job/release-post-install)"
    same 'what serves' ok "$(kubectl get --raw "/api/v1/namespaces/$ns/pods/$(k get pods -l app.kubernetes.io/name=demo -o 'jsonpath={.items[0].metadata.name}'):80/proxy/")"
    has "$(released test release --logs --timeout 3m)" one
    released upgrade release "$chart" --values "$T/values.yaml" --set greeting=two --wait --wait-for-jobs --timeout 5m
    same 'before the upgrade' 'migrated to two' "$(k logs job/release-pre-install)"
    has "$(released test release --logs --timeout 3m)" two
    released uninstall release --wait --timeout 3m
    same 'saved before the end' $'one\ntwo' "$(on_login "cat volumes/$ns/saved")"
    none() { [ -z "$(k get pods -l '!hook' -o name | grep -v release-test)" ]; }
    wait_for 120 'the pods to go' none
}

case_a_cron_job() {
    k apply -f - >/dev/null <<END
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly}
spec:
  schedule: "* * * * *"
  concurrencyPolicy: Forbid
  successfulJobsHistoryLimit: 1
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
    $(placed | sed '2s/^/    /')
          containers: [{name: report, image: "$image", command: [sh, -c, 'echo nightly report']}]
END
    ran() { [ -n "$(k get cronjob nightly -o 'jsonpath={.status.lastSuccessfulTime}')" ]; }
    wait_for 240 'a run that has succeeded' ran
    k patch cronjob nightly -p '{"spec": {"suspend": true}}' >/dev/null
    job=$(k get jobs -o 'jsonpath={.items[0].metadata.name}')
    same log 'nightly report' "$(k logs "job/$job")"
    k delete cronjob nightly >/dev/null
}

# A volume for each pod, on a path that the site's rules map, kept when the pod is made anew.
case_a_stateful_set() {
    trap 'kubectl delete pv --wait=false "$ns-data-store-0" "$ns-data-store-1" >/dev/null 2>&1 || true' EXIT
    for n in 0 1; do
        on_login "rm -rf volumes/$ns-$n && mkdir -p volumes/$ns-$n"
        kubectl apply -f - >/dev/null <<END
apiVersion: v1
kind: PersistentVolume
metadata: {name: $ns-data-store-$n}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], persistentVolumeReclaimPolicy: Retain, storageClassName: '', hostPath: {path: /exports/$ns-$n}, claimRef: {namespace: $ns, name: data-store-$n}}
END
    done
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: Service
metadata: {name: store}
spec: {clusterIP: None, selector: {app: store}, ports: [{port: 80}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: store}
spec:
  serviceName: store
  replicas: 2
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store}}
    spec:
      terminationGracePeriodSeconds: 5
$(placed)
      containers:
        - name: store
          image: $image
          command: [sh, -c, 'trap "exit 0" TERM; echo "\$(hostname) again" >>/data/starts; sleep 600 & wait']
          volumeMounts: [{name: data, mountPath: /data}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: {storage: 1Gi}}}
END
    ready() { [ "$(k get statefulset store -o 'jsonpath={.status.readyReplicas}')" = 2 ]; }
    wait_for 180 'both pods to be ready' ready
    same 'of the first' 'store-0 again' "$(on_login "cat volumes/$ns-0/starts")"
    same 'of the second' 'store-1 again' "$(on_login "cat volumes/$ns-1/starts")"
    uid=$(uid_of store-0)
    k delete pod store-0 --wait=false >/dev/null
    anew() { [ "$(uid_of store-0)" != "$uid" ] && ready; }
    wait_for 180 'the pod to be made anew' anew
    same 'what was kept' $'store-0 again\nstore-0 again' "$(on_login "cat volumes/$ns-0/starts")"
    k delete statefulset store >/dev/null
    none() { [ -z "$(k get pods -l app=store -o name)" ]; }
    wait_for 120 'the pods to go' none
}

# As a workflow engine makes them: a tool is copied in, runs the step and writes down how it ended; a second container waits
# for that and takes the results away; a sidecar serves both until they are over.
case_a_step_of_a_workflow() {
    meta=$'  labels: {workflows.argoproj.io/workflow: steps, workflows.argoproj.io/completed: "false"}\n  annotations: {kubectl.kubernetes.io/default-container: main}'
    pod step <<END
shareProcessNamespace: false
initContainers:
  - name: init
    image: $image
    command: [sh, -c, 'printf "%s\\n" "#!/bin/sh" "mkdir -p /var/run/argo/ctr/main" "\\"\\\$@\\" >/var/run/argo/ctr/main/stdout" "echo \\\$? >/var/run/argo/ctr/main/exitcode" "cat /var/run/argo/ctr/main/stdout" >/var/run/argo/exec; chmod 755 /var/run/argo/exec']
    volumeMounts: [{name: var-run-argo, mountPath: /var/run/argo}]
  - name: cache
    image: $image
    restartPolicy: Always
    command: [sh, -c, 'trap "echo cache over; exit 0" TERM; mkdir -p /var/run/argo/cache; echo warm >/var/run/argo/cache/state; echo cache up; while :; do sleep 0.2; done']
    volumeMounts: [{name: var-run-argo, mountPath: /var/run/argo}]
    startupProbe: {exec: {command: [test, -e, /var/run/argo/cache/state]}, periodSeconds: 1, failureThreshold: 60}
containers:
  - name: wait
    image: $image
    command: [sh, -c, 'until [ -s /var/run/argo/ctr/main/exitcode ]; do sleep 0.2; done; cp /var/run/argo/ctr/main/stdout /mainctrfs/result; echo "saved \$(cat /var/run/argo/ctr/main/exitcode)"']
    env: [{name: ARGO_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: ARGO_CONTAINER_NAME, value: wait}]
    volumeMounts: [{name: var-run-argo, mountPath: /var/run/argo}, {name: out, mountPath: /mainctrfs}]
  - name: main
    image: $image
    command: [/var/run/argo/exec, sh, -c]
    args: ['echo "step with a \$(cat /var/run/argo/cache/state) cache"']
    volumeMounts: [{name: var-run-argo, mountPath: /var/run/argo}, {name: out, mountPath: /out}]
volumes: [{name: var-run-argo, emptyDir: {}}, {name: out, emptyDir: {}}]
END
    until_phase step Succeeded
    same 'the step' 'step with a warm cache' "$(k logs step)"
    same 'who waited' 'saved 0' "$(k logs step -c wait)"
    same 'the sidecar' $'cache up\ncache over' "$(k logs step -c cache)"
}

# A program of MPI with the two libraries that Debian has, started by srun over two nodes: Open MPI finds its ranks by Slurm's
# PMIx, MPICH by its PMI-2.
case_mpi_over_two_nodes() {
    local ranks library pmi n
    ranks=$("$driver" extra ranks --name "$TESTBED_NAME")
    while read -r library pmi <&3; do
        meta="  annotations: {towline.dev/nodes: \"2\", towline.dev/tasks-per-node: \"2\", towline.dev/mpi: $pmi}" pod "$library" <<END
containers: [{name: main, image: $ranks, command: [ranks-$library], resources: {requests: {cpu: "4", memory: 800Mi}}}]
END
    done 3<<'END'
openmpi pmix
mpich pmi2
END
    for library in openmpi mpich; do
        until_phase $library Succeeded
        for n in 0 1 2 3; do echo "rank $n of 4 on c$((n / 2 + 1)): the sum is 10"; done >"$T/expected"
        same "$library" "$(cat "$T/expected")" "$(k logs $library | sort)"
    done
}
