# shellcheck shell=bash disable=SC2154,SC2016
# Fields that docs/pods.md honours and no other case looks at: what a pod knows of itself, whence its values come, how it is
# protected, and how its probes are timed.

case_what_a_pod_knows_of_itself() {
    local address
    k create serviceaccount own >/dev/null
    meta=$'  labels: {colour: green}\n  annotations: {"a/b": "c d"}' pod self <<END
serviceAccountName: own
automountServiceAccountToken: false
containers:
  - name: other
    image: $image
    command: ["true"]
    resources: {requests: {cpu: 250m, memory: 64Mi}, limits: {cpu: 1500m, memory: 128Mi}}
  - name: main
    image: $image
    workingDir: /etc
    command: [sh, -c, 'env | grep "^X_" | sort; echo "arg \$0"; pwd; cd /down && for f in * all/*; do [ -d "\$f" ] || echo "\$f \$(stat -Lc %a "\$f") \$(cat "\$f")"; done', '\$(X_IP):80']
    resources: {requests: {cpu: 500m, memory: 64Mi}}
    env:
      - {name: X_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
      - {name: X_IPS, valueFrom: {fieldRef: {fieldPath: status.podIPs}}}
      - {name: X_HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
      - {name: X_URL, value: 'http://\$(X_IP)/'}
      - {name: X_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
      - {name: X_SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
      - {name: X_NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
      - {name: X_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
      - {name: X_LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['colour']"}}}
      - {name: X_MEMORY, valueFrom: {resourceFieldRef: {containerName: other, resource: limits.memory, divisor: 1Mi}}}
      - {name: X_MILLIS, valueFrom: {resourceFieldRef: {containerName: other, resource: requests.cpu, divisor: 1m}}}
      - {name: X_CPUS, valueFrom: {resourceFieldRef: {containerName: other, resource: limits.cpu}}}
    volumeMounts: [{name: down, mountPath: /down}, {name: all, mountPath: /down/all}]
volumes:
  - name: down
    downwardAPI:
      defaultMode: 0440
      items:
        - {path: notes, mode: 0400, fieldRef: {fieldPath: metadata.annotations}}
        - {path: memory, resourceFieldRef: {containerName: other, resource: limits.memory, divisor: 1Ki}}
  - name: all
    projected:
      defaultMode: 0444
      sources:
        - {downwardAPI: {items: [{path: labels, mode: 0400, fieldRef: {fieldPath: metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: other, resource: requests.cpu, divisor: 1m}}]}}
END
    until_phase self Succeeded
    address=$(field self '{.status.podIP}')
    k logs self -c main >"$T/said"
    for line in "X_ACCOUNT=own" "X_CPUS=2" "X_HOST=$address" "X_IP=$address" "X_IPS=$address" "X_LABEL=green" "X_MEMORY=128" "X_MILLIS=250" \
        "X_NAME=self" "X_NODE=$node" "X_SPACE=$ns" "X_URL=http://$address/" "arg $address:80" /etc "memory 440 131072" 'all/labels 400 colour="green"' "all/cpu 444 250"; do
        grep -qxF -- "$line" "$T/said" || wrong "no line $line in: $(cat "$T/said")"
    done
    grep -q '^notes 400 .*a/b="c d"' "$T/said" || wrong "no annotation in: $(cat "$T/said")"
}

case_where_values_come_from() {
    k create configmap there --from-literal=a=1 --from-literal=b=2 >/dev/null
    k create secret generic hidden --from-literal=p=q --from-literal=r=s >/dev/null
    k create service clusterip neighbour --tcp=81:81 >/dev/null
    pod values <<END
containers:
  - name: main
    image: $image
    command: [sh, -c, 'env | grep -E "^(V_|C_|S_|NEIGHBOUR_SERVICE_PORT=)" | sort; cd /files && for f in *; do for g in "\$f"/*; do [ ! -f "\$g" ] || echo "\$g \$(stat -Lc %a "\$g") \$(cat "\$g")"; done; done']
    env:
      - {name: V_MAYBE, valueFrom: {configMapKeyRef: {name: there, key: missing, optional: true}}}
      - {name: V_SECRET, valueFrom: {secretKeyRef: {name: nowhere, key: x, optional: true}}}
    envFrom:
      - {prefix: C_, configMapRef: {name: there}}
      - {prefix: S_, secretRef: {name: hidden}}
      - {configMapRef: {name: nowhere, optional: true}}
      - {secretRef: {name: nowhere, optional: true}}
    volumeMounts:
      - {name: map, mountPath: /files/map, readOnly: true}
      - {name: secret, mountPath: /files/secret}
      - {name: none, mountPath: /files/none}
      - {name: both, mountPath: /files/both}
volumes:
  - {name: map, configMap: {name: there, defaultMode: 0440, items: [{key: a, path: x}, {key: b, path: "y", mode: 0400}]}}
  - {name: secret, secret: {secretName: hidden, defaultMode: 0440, items: [{key: p, path: word, mode: 0400}]}}
  - {name: none, secret: {secretName: nowhere, optional: true}}
  - name: both
    projected:
      sources:
        - {configMap: {name: there, items: [{key: a, path: one, mode: 0400}]}}
        - {secret: {name: hidden, items: [{key: r, path: two, mode: 0440}]}}
        - {configMap: {name: nowhere, optional: true}}
        - {secret: {name: nowhere, optional: true}}
        - {serviceAccountToken: {path: token, expirationSeconds: 3600}}
END
    pod unlinked <<END
enableServiceLinks: false
containers: [{name: main, image: $image, command: [sh, -c, 'echo "<\$NEIGHBOUR_SERVICE_PORT>"']}]
END
    until_phase values Succeeded
    same values "C_a=1
C_b=2
NEIGHBOUR_SERVICE_PORT=81
S_p=q
S_r=s
both/one 400 1
both/two 440 s
map/x 440 1
map/y 400 2
secret/word 400 q" "$(k logs values | grep -v '^both/token ')"
    has "$(k logs values)" 'both/token '
    until_phase unlinked Succeeded
    same 'without links' '<>' "$(k logs unlinked)"
}

# As charts of careful people have it, all of it in one pod.
case_protected_as_far_as_it_goes() {
    pod guarded <<END
hostUsers: false
os: {name: linux}
securityContext:
  supplementalGroupsPolicy: Merge
  seccompProfile: {type: RuntimeDefault}
  appArmorProfile: {type: Unconfined}
containers:
  - name: main
    image: $image
    command: [sh, -c, 'touch /etc/x 2>/dev/null && echo "the root can be written"; echo ok >/tmp/file && cat /tmp/file; touch /map/x 2>/dev/null && echo "what is read-only can be written"; true']
    ports: [{name: web, containerPort: 8081, protocol: TCP, hostIP: 0.0.0.0}]
    securityContext:
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      procMount: Default
      seccompProfile: {type: RuntimeDefault}
      capabilities: {drop: [ALL], add: [CHOWN, KILL]}
    volumeMounts:
      - {name: tmp, mountPath: /tmp, mountPropagation: None}
      - {name: tmp, mountPath: /map, readOnly: true, recursiveReadOnly: IfPossible}
volumes: [{name: tmp, emptyDir: {}}]
END
    until_phase guarded Succeeded
    same log ok "$(k logs guarded)"
    pod overdue <<END
activeDeadlineSeconds: 3
containers: [{name: main, image: $image, command: [sleep, "600"]}]
END
    until_phase overdue Failed
    same reason DeadlineExceeded "$(field overdue '{.status.reason}')"
    pod renamed <<END
hostname: other
containers: [{name: main, image: $image, command: [hostname]}]
END
    until_phase renamed Succeeded
    same hostname other "$(k logs renamed)"
}

# The signal that a container asks to be ended by. (Without Kubernetes: its API server drops the field as long as the feature
# ContainerStopSignals is off.)
case_stop_signal() {
    jq -n '{apiVersion: "v1", kind: "Pod", metadata: {name: "signalled"}, spec: {restartPolicy: "Never", os: {name: "linux"}, containers: [{name: "main", image: "busybox:1",
        command: ["sh", "-c", "trap \"echo TERM; exit 3\" TERM; trap \"echo USR1; exit 4\" USR1; echo ready; while :; do sleep 0.1; done"],
        lifecycle: {stopSignal: "SIGUSR1", postStart: {sleep: {seconds: 1}}}}]}}' >"$T/signalled.json"
    uid=$(towline run -f "$T/signalled.json" --detach --quiet login)
    trap 'towline cancel --force --target login "$uid" >/dev/null 2>&1 || true' EXIT
    says() { towline logs -t login "$uid" | grep -qx "$1"; }
    wait_for 90 'its first word' says ready
    towline cancel -t login "$uid" >/dev/null
    wait_for 60 'what it was told' says USR1
    same 'all that it said' $'ready\nUSR1' "$(towline logs -t login "$uid")"
}

# Hooks and probes that ask a server of another container by its address, with headers; all times and thresholds are given.
case_hooks_and_probes_to_the_letter() {
    port=$((20000 + RANDOM % 10000))
    on_login "mkdir -p open && rm -rf open/$ns"
    pod letter <<END
containers:
  - name: server
    image: $image
    command:
      - sh
      - -c
      - |
        mkdir -p /www/cgi-bin
        cat >/www/cgi-bin/ask <<'SCRIPT'
        #!/bin/sh
        echo "\$QUERY_STRING \$HTTP_X_TOKEN" >>/shared/asked
        printf 'Content-Type: text/plain\r\n\r\nok\n'
        SCRIPT
        chmod +x /www/cgi-bin/ask
        exec httpd -f -p $port -h /www
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'until wget -q -O - http://127.0.0.1:$port/cgi-bin/ask?up; do sleep 0.1; done']}}
      preStop: {sleep: {seconds: 4}}
    livenessProbe:
      httpGet: {host: 127.0.0.1, port: $port, path: '/cgi-bin/ask?live', scheme: HTTP, httpHeaders: [{name: X-Token, value: five}]}
      periodSeconds: 1
      timeoutSeconds: 5
      failureThreshold: 60
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: main
    image: $image
    command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.1; done']
    ports: [{name: other, containerPort: $port}]
    lifecycle:
      postStart: {httpGet: {host: 127.0.0.1, port: $port, path: '/cgi-bin/ask?start', scheme: HTTP, httpHeaders: [{name: X-Token, value: one}]}}
      preStop: {httpGet: {host: 127.0.0.1, port: other, path: '/cgi-bin/ask?stop', scheme: HTTP, httpHeaders: [{name: X-Token, value: two}]}}
    startupProbe:
      httpGet: {host: 127.0.0.1, port: other, path: '/cgi-bin/ask?startup', scheme: HTTP, httpHeaders: [{name: X-Token, value: three}]}
      initialDelaySeconds: 1
      periodSeconds: 1
      timeoutSeconds: 5
      successThreshold: 1
      failureThreshold: 60
      terminationGracePeriodSeconds: 5
    livenessProbe:
      tcpSocket: {host: 127.0.0.1, port: other}
      initialDelaySeconds: 1
      periodSeconds: 1
      timeoutSeconds: 5
      successThreshold: 1
      failureThreshold: 60
    readinessProbe:
      httpGet: {host: 127.0.0.1, port: $port, path: '/cgi-bin/ask?ready', scheme: HTTP, httpHeaders: [{name: X-Token, value: four}]}
      initialDelaySeconds: 1
      periodSeconds: 1
      timeoutSeconds: 5
      successThreshold: 2
      failureThreshold: 60
volumes: [{name: shared, hostPath: {path: /home/alice/open/$ns, type: DirectoryOrCreate}}]
END
    is_ready() { [ "$(field letter '{.status.containerStatuses[?(@.name=="main")].ready}')" = true ]; }
    wait_for 120 'it to be ready' is_ready
    asked() { on_login "cat open/$ns/asked"; }
    for line in 'start one' 'startup three' 'ready four' 'live five'; do
        asked | grep -qx "$line" || wrong "nobody asked '$line': $(asked)"
    done
    [ "$(asked | grep -c '^ready')" -ge 2 ] || wrong "ready before its threshold: $(asked)"
    [ "$(asked | grep -n -m 1 '^startup' | cut -d: -f1)" -lt "$(asked | grep -n -m 1 '^ready' | cut -d: -f1)" ] || wrong "ready was asked before startup: $(asked)"
    k delete pod letter --wait=false >/dev/null
    until_gone letter
    asked | grep -qx 'stop two' || wrong "its end was not told: $(asked)"
}

# What the scheduler decides, and what the node looks at once more.
case_by_the_scheduler() {
    kubectl create priorityclass "$ns" --value=1000 --preemption-policy=Never >/dev/null
    trap 'kubectl delete priorityclass "$ns" >/dev/null' EXIT
    k apply -f - >/dev/null <<END
apiVersion: v1
kind: Pod
metadata: {name: chosen, labels: {app: chosen}}
spec:
  restartPolicy: Never
  schedulerName: default-scheduler
  priorityClassName: $ns
  serviceAccount: default
  nodeSelector: {kubernetes.io/hostname: $node}
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [linux]}]}]}}}
  tolerations: [{operator: Exists}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: chosen}}}]
  schedulingGates: [{name: example.com/wait}]
  containers: [{name: main, image: $image, command: [echo, ran]}]
END
    gated() { [ "$(field chosen '{.status.conditions[?(@.type=="PodScheduled")].reason}')" = SchedulingGated ]; }
    wait_for 60 'its gate' gated
    same node '' "$(field chosen '{.spec.nodeName}')"
    k patch pod chosen --type=json -p '[{"op": "remove", "path": "/spec/schedulingGates"}]' >/dev/null
    until_phase chosen Succeeded
    same node "$node" "$(field chosen '{.spec.nodeName}')"
    same 'priority' '1000 Never' "$(field chosen '{.spec.priority} {.spec.preemptionPolicy}')"
    same log ran "$(k logs chosen)"
}
