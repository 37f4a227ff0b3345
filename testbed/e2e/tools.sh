# shellcheck shell=bash disable=SC2154 # ns, node, T come from testbed/e2e/run
# What the cases of the end-to-end suite are made of.

image=$TESTBED_REGISTRY/busybox:1

wrong() {
    echo "$*" >&2
    exit 1
}
same() { [ "$2" = "$3" ] || wrong "$1: expected '$2', got '$3'"; }
# has TEXT PART
has() { case $1 in *"$2"*) ;; *) wrong "no '$2' in: $1" ;; esac }

k() { kubectl -n "$ns" "$@"; }
field() { k get pod "$1" -o "jsonpath=$2"; }
phase() { field "$1" '{.status.phase}'; }

# pod NAME < the pod's spec as YAML, without image pull and placement. POD_KIND, POD_META: other kinds, more metadata.
pod() {
    {
        printf 'apiVersion: v1\nkind: Pod\nmetadata:\n  name: %s\n%s\nspec:\n' "$1" "${meta:-}"
        printf '  nodeName: %s\n  restartPolicy: %s\n' "$node" "${policy:-Never}"
        sed 's/^/  /'
    } | k apply -f - >/dev/null
}
# simple NAME COMMAND: a pod of one container that runs a line of shell.
simple() {
    local name=$1 line
    line=$(jq -n --arg line "$2" '$line')
    pod "$name" <<EOF
containers:
  - name: main
    image: $image
    command: [sh, -c, $line]
    resources: {requests: {cpu: "1", memory: 100Mi}}
EOF
}

# wait_for SECONDS WHAT COMMAND…
wait_for() {
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $until ] || wrong "waited in vain for $what"
        sleep 0.2
    done
}
in_phase() { [ "$(phase "$1")" = "$2" ]; }
# until_phase NAME PHASE
until_phase() { wait_for 90 "pod $1 to be $2, it is $(phase "$1")" in_phase "$1" "$2"; }
gone() { ! k get pod "$1"; }
until_gone() { wait_for 90 "pod $1 to go" gone "$1"; }
waiting_for() { field "$1" '{.status.containerStatuses[0].state.waiting.reason}' | grep -qx "$2"; }
# until_waiting NAME REASON
until_waiting() { wait_for 90 "pod $1 to wait for $2" waiting_for "$1" "$2"; }
event() { k get events --field-selector "involvedObject.name=$1,reason=$2" -o name | grep -q .; }
# until_event NAME REASON
until_event() { wait_for 30 "the event $2 of $1" event "$1" "$2"; }
has_log() { k logs "$1" | grep -q "$2"; }

# on_login COMMAND: as the account, on the login node.
on_login() { ssh -F "$TOWLINE_SSH_CONFIG" -o LogLevel=ERROR "$TOWLINE_TARGET" "$1" 2>/dev/null | grep -v '^\*\*\*' || true; }
# container_of ROLE; as_operator COMMAND…: as root beside slurmctld.
container_of() { echo "towline-$TESTBED_NAME-$1"; }
as_operator() { docker exec "$(container_of ctl)" "$@"; }
uid_of() { field "$1" '{.metadata.uid}'; }
# jobs_of UID: ids of all jobs that ever had this pod's name.
jobs_of() { on_login "squeue -h -t all -o '%i %j'" | awk -v uid="$1" 'index($2, uid) { print $1 }'; }
has_no_job() { ! on_login "squeue -h -o '%j'" | grep -q "$1"; }
has_no_directory() { ! on_login "ls .towline/agents/$node/pods" | grep -q "$1"; }
