# shellcheck shell=bash disable=SC2154,SC2016,SC2034
# What a pod asks of Slurm, by annotation and by its resources, as Slurm has understood it. (Features, licences and generic
# resources stand in cluster/slurm/common.conf.)

# lines_of TEXT LINE…: each one is a line of the text, whole.
lines_of() {
    local text=$1 line
    shift
    for line in "$@"; do grep -qxF -e "$line" <<<"$text" || wrong "no line '$line' in: $text"; done
}
# An account and a quality of service that are not the ones of everybody.
other_accounting() {
    as_operator sacctmgr -i -Q add account chemistry Cluster=testbed Description=testbed Organization=testbed || true
    as_operator sacctmgr -i -Q add user alice Account=chemistry Cluster=testbed || true
    as_operator sacctmgr -i -Q add qos swift || true
    as_operator sacctmgr -i -Q modify user where name=alice cluster=testbed set qos+=swift || true
    as_operator sacctmgr -nP show assoc where user=alice account=chemistry format=qos | grep -q swift
} >/dev/null 2>&1
# reservation: one of the case's namespace, of licences, which takes no node from anybody. no_reservation: nor its jobs.
reservation() { as_operator scontrol create reservation "ReservationName=$ns" StartTime=now Duration=30 Users=alice Licenses=matlab:1 Flags=ANY_NODES >/dev/null; }
no_reservation() {
    as_operator scancel --reservation="$ns"
    as_operator scontrol delete "ReservationName=$ns"
}
until_no_reservation() { wait_for 60 'the reservation to go' no_reservation; }

# A job that waits for another one, so that nothing of what it asks for is taken from anybody.
case_slurm_by_annotation() {
    other_accounting
    reservation
    trap 'on_login "scancel --name=$ns"; until_no_reservation' EXIT
    held=$(on_login "sbatch -H --parsable -J $ns -o /dev/null --wrap true")
    meta="
  annotations:
    towline.dev/partition: long
    towline.dev/account: chemistry
    towline.dev/qos: swift
    towline.dev/constraint: node&second
    towline.dev/reservation: $ns
    towline.dev/walltime: '2:00:00'
    towline.dev/gpu-type: fake
    towline.dev/gres: fpga:2
    towline.dev/dependency: afterok:$held
    towline.dev/licenses: matlab:1
    towline.dev/mail-user: alice@example.org
    towline.dev/mail-type: END,FAIL
    towline.dev/exclusive: 'true'
    towline.dev/comment: all-of-it" pod asks <<END
containers: [{name: main, image: $image, command: [echo, never], resources: {limits: {nvidia.com/gpu: "1"}}}]
END
    job=$(job_of asks)
    lines_of "$job" JobState=PENDING Partition=long Account=chemistry QOS=swift 'Features=node&second' "Reservation=$ns" TimeLimit=02:00:00 \
        Licenses=matlab:1 MailUser=alice@example.org MailType=END,FAIL OverSubscribe=NO Comment=all-of-it
    has "$job" "Dependency=afterok:$held"
    grep -Eqx 'TresPerNode=gres[/:]gpu:fake:1,gres[/:]fpga:2' <<<"$job" || wrong "other devices in: $job"
    # (The same of a pod that says nothing.)
    pod plain <<END
containers: [{name: main, image: $image, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done']}]
END
    job=$(job_of plain)
    lines_of "$job" Partition=debug Account=physics QOS=normal 'Features=(null)' 'Dependency=(null)' 'Licenses=(null)' OverSubscribe=OK
    same 'what it did not ask for' '' "$(grep -E '^(MailUser|Reservation|TresPerNode|Comment)=.' <<<"$job" | grep -v -e '=(null)$' -e "^MailUser=alice$")"
    k delete pod asks plain --wait=false >/dev/null
    until_gone asks
    until_gone plain
}

# And one that runs, where it asked for.
case_slurm_by_annotation_runs() {
    other_accounting
    reservation
    trap until_no_reservation EXIT
    meta="  annotations: {towline.dev/account: chemistry, towline.dev/qos: swift, towline.dev/constraint: second, towline.dev/licenses: 'matlab:1', towline.dev/reservation: $ns, towline.dev/gres: 'gpu:fake:1'}" pod runs <<END
containers: [{name: main, image: $image, command: [sh, -c, 'echo "gpus=\$CUDA_VISIBLE_DEVICES"; trap "exit 0" TERM; while :; do sleep 0.2; done']}]
END
    until_phase runs Running
    lines_of "$(job_of runs)" JobState=RUNNING BatchHost=c2 Account=chemistry QOS=swift Features=second Licenses=matlab:1 "Reservation=$ns"
    wait_for 30 'its GPU' eval 'k logs runs | grep -qx "gpus=[01]"'
    k delete pod runs --wait=false >/dev/null
    until_gone runs
}

# What the site's rules say of annotations: which ones, which values, and flags as they are.
case_what_a_site_lets_pods_choose() {
    other_accounting
    with_config 's|^  policy:|&\n    annotations: [comment, qos, flags]\n    values: {qos: [swift, swifter]}|'
    trap '"$driver" node --name "$name" --no-build >/dev/null' EXIT
    meta='  annotations: {towline.dev/qos: swift, towline.dev/flags: "--nice=77 --constraint=second"}' pod chosen <<END
containers: [{name: main, image: $image, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done']}]
END
    lines_of "$(job_of chosen)" QOS=swift Nice=77 Features=second
    n=0
    while IFS='|' read -r annotation said <&3; do
        n=$((n + 1))
        meta="  annotations: {$annotation}" pod "not$n" <<END
containers: [{name: main, image: $image, command: [echo, never]}]
END
        until_refused "not$n" InvalidRequest "$said"
    done 3<<'END'
towline.dev/qos: normal|this site lets pods choose qos among swift, swifter, not "normal"
towline.dev/account: chemistry|this site does not let pods choose account
towline.dev/flags: "--nice=5 --output=/tmp/x"|--output is Towline's own to give
END
    same tried 3 "$n"
    k delete pod chosen --wait=false >/dev/null
    until_gone chosen
}

# CPUs are rounded up together; a limit comes before a request; what runs side by side is summed; what comes first may need more.
case_resources_of_containers() {
    kubectl apply -f - >/dev/null <<END
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: boxed}
handler: boxed
overhead: {podFixed: {cpu: 1500m, memory: 50Mi}}
END
    pod steady <<END
initContainers:
  - {name: side, image: $image, restartPolicy: Always, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done'], resources: {requests: {cpu: 700m, memory: 100Mi}}}
  - {name: first, image: $image, command: ["true"], resources: {requests: {cpu: "1", memory: 60Mi}}}
containers:
  - {name: main, image: $image, command: [sh, -c, 'echo "devices=\$ROCR_VISIBLE_DEVICES,\$CUDA_VISIBLE_DEVICES"; trap "exit 0" TERM; while :; do sleep 0.2; done'],
     resources: {requests: {cpu: 200m, memory: 150Mi}, limits: {cpu: 1500m, memory: 300Mi, amd.com/gpu: "2", example.org/fpga: "3"}}}
  - {name: helper, image: $image, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done'], resources: {requests: {cpu: 600m, memory: 101Mi}}}
END
    pod peak <<END
runtimeClassName: boxed
initContainers:
  - {name: side, image: $image, restartPolicy: Always, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done'], resources: {requests: {cpu: "1", memory: 100Mi}}}
  - {name: first, image: $image, command: ["true"], resources: {limits: {cpu: "3", memory: 700Mi}}}
containers: [{name: main, image: $image, command: [sh, -c, 'trap "exit 0" TERM; while :; do sleep 0.2; done'], resources: {requests: {cpu: "1", memory: 100Mi}}}]
END
    # (256 MiB are for what surrounds the containers.)
    job=$(job_of steady)
    lines_of "$job" NumCPUs=3 MinMemoryNode=757M
    grep -Eqx 'TresPerNode=gres[/:]gpu:fake:2,gres[/:]fpga:3' <<<"$job" || wrong "other devices in: $job"
    lines_of "$(job_of peak)" NumCPUs=6 MinMemoryNode=1106M
    until_phase steady Running
    wait_for 30 'its GPUs' eval 'k logs steady -c main | grep -q "^devices=.*0,1"'
    until_phase peak Running
    pod greedy <<END
containers: [{name: main, image: $image, command: ["true"], resources: {limits: {example.org/fpga: "9"}}}]
END
    until_refused greedy OutOfexample.org/fpga 'requested: 9, used: 3, capacity: 8'
    k delete pod steady peak --wait=false >/dev/null
    until_gone steady
    until_gone peak
}
