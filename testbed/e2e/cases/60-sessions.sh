# shellcheck shell=bash disable=SC2154,SC2016
# kubectl's sessions in containers that run: exec, cp, attach, port-forward, over WebSocket and over SPDY.

# as_spdy COMMAND…: with the protocol of older clients.
as_spdy() { KUBECTL_REMOTE_COMMAND_WEBSOCKETS=false KUBECTL_PORT_FORWARD_WEBSOCKETS=false "$@"; }

sessions() { # as_websocket or as_spdy
    local code=0 with=$1 sum
    simple one 'echo up; exec sleep 600'
    until_phase one Running
    entered() { "$with" k exec one -- true; }
    wait_for 60 'the container to be entered' entered

    "$with" k exec one -- sh -c 'echo "$0|$1"; echo oops >&2; exit 7' "it's" 'a $(b)' >"$T/out" 2>"$T/err" || code=$?
    same 'exit code' 7 "$code"
    same stdout "it's|a \$(b)" "$(cat "$T/out")"
    grep -qx oops "$T/err" || wrong "no stderr of its own: $(cat "$T/err")"
    same hostname one "$("$with" k exec one -- hostname)"

    head -c 50000000 /dev/urandom >"$T/data"
    sum=$(sha256sum <"$T/data")
    same '50 MB in' "$sum" "$("$with" k exec -i one -- sha256sum <"$T/data")"
    same '50 MB there and back' "$sum" "$("$with" k exec -i one -- cat <"$T/data" | sha256sum)"

    "$with" script -qec "stty rows 33 cols 77; kubectl -n $ns exec -it one -- sh -c 'test -t 0 && sleep 2 && stty size'" /dev/null </dev/null >"$T/tty"
    grep -q '33 77' "$T/tty" || wrong "no terminal of 33 lines and 77 columns: $(cat "$T/tty")"

    head -c 3000000 "$T/data" >"$T/small"
    "$with" k cp "$T/small" one:/tmp/there
    "$with" k cp one:/tmp/there "$T/back" >/dev/null
    cmp "$T/small" "$T/back"

    code=0
    "$with" k exec one -- no-such-command >"$T/out" 2>&1 || code=$?
    [ "$code" != 0 ] || wrong 'a command that is not there succeeded'
}
as_websocket() { "$@"; }
case_exec_and_cp_by_websocket() { sessions as_websocket; }
case_exec_and_cp_by_spdy() { sessions as_spdy; }

on_nodes() { for role in c1 c2 login; do docker exec "$(container_of "$role")" pgrep -af "$1" || true; done | grep -v pgrep || true; }

case_a_client_that_is_killed_leaves_nothing() {
    local marker=left-$RANDOM$RANDOM client
    simple one 'exec sleep 600'
    until_phase one Running
    runs() { [ -n "$(on_nodes "$marker")" ]; }
    runs_not() { ! runs; }
    for with in as_websocket as_spdy; do
        "$with" exec kubectl -n "$ns" exec -i one -- sh -c 'trap "" TERM HUP; sleep 600; :' "$marker" < <(sleep 600) &
        client=$!
        wait_for 30 'the command to run' runs
        kill -KILL "$client" && wait "$client" || true
        wait_for 30 "nothing to be left ($(on_nodes "$marker"))" runs_not
    done
}

case_the_end_of_the_pod_ends_its_sessions() {
    local code=0
    simple one 'exec sleep 600'
    until_phase one Running
    k exec one -- sleep 300 >"$T/out" 2>&1 &
    sleep 3
    k delete pod one --grace-period=1 --wait=false >/dev/null
    wait $! || code=$?
    [ "$code" != 0 ] || wrong 'the session ended well'
}

case_attach_to_what_is_written() {
    simple one 'i=0; while :; do echo "line $i"; i=$((i + 1)); sleep 0.2; done'
    until_phase one Running
    timeout 6 kubectl -n "$ns" attach one >"$T/out" 2>/dev/null || true
    grep -q '^line [0-9]' "$T/out" || wrong "nothing was written: $(cat "$T/out")"
}

forward() { # as_websocket or as_spdy, ADDRESS:PORT to listen on
    simple web "mkdir /w; echo 'it works' >/w/index.html; exec httpd -f -p $2 -h /w"
    until_phase web Running
    "$1" exec kubectl -n "$ns" port-forward pod/web ":${2#*:}" >"$T/forward" 2>&1 &
    local port
    forwarder=$!
    trap 'kill "$forwarder"' EXIT
    listening() { grep -q 'Forwarding from 127' "$T/forward"; }
    wait_for 30 'the port' listening
    port=$(sed -n 's/.*127.0.0.1:\([0-9]*\) .*/\1/p' "$T/forward")
    answered() { [ "$(curl -s --max-time 20 "http://127.0.0.1:$port/")" = 'it works' ]; }
    wait_for 40 'an answer through the port' answered
    for _ in 1 2 3; do answered || wrong "no answer: $(cat "$T/forward")"; done
}
case_port_forward_by_websocket() { forward as_websocket 0.0.0.0:18080; }
case_port_forward_by_spdy() { forward as_spdy 0.0.0.0:18081; }
# Not reached from the login node: the relay on the pod's own node is.
case_port_forward_by_relay() { forward as_websocket 127.0.0.1:18082; }
