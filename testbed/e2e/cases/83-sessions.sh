# shellcheck shell=bash disable=SC2154,SC2016
# Containers with an input or a terminal of their own; sessions without Kubernetes; ports where nothing is forwarded.

# interactive NAME FIELDS COMMAND: a pod whose container has an input (FIELDS of the container, as YAML).
interactive() {
    local line
    line=$(jq -n --arg line "$3" '$line')
    pod "$1" <<EOF
containers: [{name: main, image: $image, $2, command: [sh, -c, $line]}]
EOF
    until_phase "$1" Running
    until_entered "$1"
}
until_entered() {
    entered() { k exec "$1" -- true; }
    wait_for 60 "$1 to be entered" entered "$1"
}
logged() { k logs "$1" | grep -q "$2"; }

case_attach_with_input() {
    local with
    interactive once 'stdin: true, stdinOnce: true' 'cat; echo ended'
    printf 'all of it\n' | timeout 60 kubectl -n "$ns" attach -i once >"$T/out" 2>"$T/err" || wrong "$(cat "$T/err")"
    same 'what was written' $'all of it\nended' "$(cat "$T/out")"
    until_phase once Succeeded

    interactive kept 'stdin: true' 'while read -r line; do echo "<$line>"; done'
    for with in as_websocket as_spdy; do
        # It has no end of its own: the client leaves when it has seen what it was to see.
        "$with" exec kubectl -n "$ns" attach -i kept < <(echo "$with" && exec sleep 600) >"$T/$with" 2>&1 &
        seen() { grep -qx "<$with>" "$T/$with"; }
        wait_for 60 "an answer by $with" seen
        kill $! && wait $! || true
    done
    same 'what was read' $'<as_websocket>\n<as_spdy>' "$(k logs kept)"
    k attach -i kept </dev/null >/dev/null 2>&1 &
    k delete pod kept --grace-period=1 --wait=false >/dev/null
    wait $! || true

    simple without 'exec sleep 600'
    until_phase without Running
    until_entered without
    ! k attach -i without </dev/null >"$T/out" 2>&1 || wrong 'an input was attached that is not there'
    has "$(cat "$T/out")" 'has no standard input'
}

# kubectl run: starts a pod, attaches to it, and takes its exit code.
case_kubectl_run_with_input() {
    local code=0
    printf 'one\ntwo\n' | timeout 120 kubectl -n "$ns" run piped --rm -i --restart=Never --image="$image" \
        --overrides="{\"spec\": {\"nodeName\": \"$node\"}}" --pod-running-timeout=100s -- sh -c 'wc -l; exit 5' >"$T/out" 2>"$T/err" || code=$?
    same 'exit code' 5 "$code"
    has "$(cat "$T/out")" 2
    until_gone piped
}

case_attach_with_a_terminal() {
    interactive tty 'stdin: true, tty: true' 'test -t 0 && test -t 1 && echo "on $TERM"; while read -r line; do case $line in size) stty size ;; leave) exit 3 ;; *) echo "<$line>" ;; esac done'
    typed() { # what is typed, until the container has ended
        until [ -s "$T/tty" ]; do sleep 0.1; done
        printf 'hello\r'
        until grep -q '<hello>' "$T/tty"; do sleep 0.2; done
        until grep -q '33 77' "$T/tty"; do printf 'size\r' && sleep 1; done
        printf 'leave\r'
        until in_phase tty Failed; do sleep 0.5; done
    }
    typed | timeout 100 script -qefc "stty rows 33 cols 77; echo attaching; kubectl -n $ns attach -it tty" /dev/null >"$T/tty" || wrong "the session did not end by itself: $(cat -v "$T/tty")"
    until_phase tty Failed
    same 'exit code' 3 "$(field tty '{.status.containerStatuses[0].state.terminated.exitCode}')"
    grep -q '33 77' "$T/tty" || wrong "no terminal of 33 lines and 77 columns: $(cat "$T/tty")"
    has "$(k logs tty)" 'on xterm'
}

# ---- without Kubernetes

# left TARGET NAME COMMAND [FIELDS]: a pod that `towline run --detach` leaves running.
left() {
    jq -n --arg name "$2" --arg line "$3" --argjson fields "${4:-null}" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name},
        spec: {restartPolicy: "Never", containers: [{name: "main", image: "busybox:1", command: ["sh", "-c", $line]} + ($fields // {})]}}' >"$T/$2.json"
    uid=$(towline run -f "$T/$2.json" --detach --quiet "$1")
    trap 'towline cancel --force --target "'"$1"'" "'"$uid"'" >/dev/null 2>&1 || true' EXIT
    reached() { towline exec --target "$1" "$2" -- true; }
    wait_for 90 "$2 to be entered" reached "$1" "$uid"
}

case_sessions_without_kubernetes() {
    local code=0 sum
    left login alone 'exec sleep 600'
    towline exec --target login "$uid" -- sh -c 'echo "$0|$1"; echo oops >&2; exit 7' "it's" 'a $(b)' >"$T/out" 2>"$T/err" || code=$?
    same 'exit code' 7 "$code"
    same stdout "it's|a \$(b)" "$(cat "$T/out")"
    same stderr oops "$(cat "$T/err")"
    head -c 20000000 /dev/urandom >"$T/data"
    sum=$(sha256sum <"$T/data")
    same '20 MB there and back' "$sum" "$(towline exec -i --target login "$uid" -- cat <"$T/data" | sha256sum)"
    script -qec "stty rows 33 cols 77; towline exec -it --target login $uid -- sh -c 'until [ \"\$(stty size)\" = \"33 77\" ]; do sleep 0.2; done; echo sized'" /dev/null </dev/null >"$T/tty"
    grep -q sized "$T/tty" || wrong "no terminal: $(cat "$T/tty")"

    mkdir -p "$T/tree/deep"
    cp "$T/data" "$T/tree/deep/data"
    ln -s deep "$T/tree/link"
    towline cp -t login "$T/tree" "$uid:/tmp/tree"
    same 'a link' deep "$(towline exec --target login "$uid" -- readlink /tmp/tree/link)"
    towline cp -t login "$uid:/tmp/tree" "$T/back" 2>"$T/err"
    cmp "$T/data" "$T/back/deep/data"
    [ ! -L "$T/back/link" ] || wrong 'a link was made here'

    left login catcher 'cat; echo ended' '{"stdin": true, "stdinOnce": true}'
    same 'attached' $'hello\nended' "$(echo hello | towline attach -i --target login "$uid")"
}

# with_sshd LINE…: the login node's sshd treats carol otherwise; called again with none: as before.
with_sshd() {
    local container line
    container=$(container_of login)
    {
        [ $# = 0 ] || printf 'Match User carol\n'
        for line in "$@"; do printf '  %s\n' "$line"; done
    } | docker exec -i "$container" sh -c 'cat >/etc/ssh/sshd_config.d/carol.conf && sshd -t && kill -HUP "$(pgrep -o -x sshd)"'
    wait_for 20 'sshd to be back' ssh -F "$TOWLINE_SSH_CONFIG" -o ConnectTimeout=3 login-carol true
}
# only_tool TOOL: the directory of all programs of the cluster, and of those that can carry a connection only this one.
only_tool() {
    docker exec -u carol "$(container_of login)" bash -c 'dir=/home/carol/only-$1 && rm -rf "$dir" && mkdir "$dir" && cd "$dir" || exit
        ln -s /usr/sbin/* /usr/bin/* . 2>/dev/null
        rm -f perl* python* bash socat nc nc.*
        case $1 in
            nc) ln -s /usr/bin/busybox nc ;;
            none) ;;
            *) ln -s "$(command -v "$1")" "$1" ;;
        esac
        echo "$dir"' - "$1"
}

# A site that forbids forwarding: a relay on the pod's node, made of whatever that has.
case_port_forward_by_each_tool() {
    local tool port answer
    left login-carol web 'echo "read line; echo got \$line" >/tmp/answer; exec nc -ll -p 18083 -e sh /tmp/answer'
    trap 'with_sshd; kill "${forwarder:-}" 2>/dev/null; towline cancel --force -t login-carol "$uid" >/dev/null 2>&1 || true' EXIT
    for tool in perl python3 bash socat nc; do
        if [ "$tool" = socat ] && ! docker exec "$(container_of c1)" which socat >/dev/null; then continue; fi
        with_sshd 'AllowTcpForwarding no' "SetEnv PATH=$(only_tool "$tool")"
        towline port-forward -t login-carol "$uid" :18083 -o json >"$T/forward" 2>"$T/err" &
        forwarder=$!
        listening() { jq '.[0].localPort' "$T/forward" | grep -q '[0-9]'; }
        wait_for 60 "the port with $tool" listening
        port=$(jq '.[0].localPort' "$T/forward")
        answer=$(exec 3<>"/dev/tcp/127.0.0.1/$port" && echo "$tool" >&3 && timeout 60 head -n 1 <&3)
        [ "$answer" = "got $tool" ] || wrong "the answer by $tool is '$answer': $(cat "$T/err")"
        kill "$forwarder" && wait "$forwarder" || true
    done
    # That it was those tools, and neither forwarding nor another one:
    with_sshd 'AllowTcpForwarding no' "SetEnv PATH=$(only_tool none)"
    towline port-forward -t login-carol "$uid" :18083 -o json >"$T/forward" 2>"$T/err" &
    forwarder=$!
    wait_for 60 'the port' listening
    port=$(jq '.[0].localPort' "$T/forward")
    (exec 3<>"/dev/tcp/127.0.0.1/$port" && timeout 60 head -n 1 <&3) || true
    said() { grep -q 'there is neither perl' "$T/err"; }
    wait_for 30 "a word about what is missing: $(cat "$T/err")" said
}

# More than the host takes on one connection (MaxSessions 10): they wait for their turn and all succeed.
case_fifty_sessions_at_once() {
    local n
    simple one 'exec sleep 600'
    until_phase one Running
    until_entered one
    for n in $(seq 50); do
        (k exec one -- sh -c 'sleep 1; echo "done $0"' "$n" >"$T/out.$n" 2>"$T/err.$n" || echo "$n: $(cat "$T/err.$n")" >>"$T/failed") &
    done
    wait
    [ ! -s "$T/failed" ] || wrong "$(cat "$T/failed")"
    for n in $(seq 50); do same "number $n" "done $n" "$(cat "$T/out.$n")"; done
}
