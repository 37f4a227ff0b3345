# shellcheck shell=bash disable=SC2154,SC2016
# What streams cost the cluster: a port that is reached needs no process there, and who follows the same log shares one.

# forwarded PORT: forwards to the pod `ports` and opens a connection, which stays open; sets $connection.
forwarded() {
    kubectl -n "$ns" port-forward pod/ports ":$1" >"$T/forward.$1" 2>&1 &
    forwarders+=("$!")
    opened() { grep -q 'Forwarding from 127' "$T/forward.$1"; }
    wait_for 60 'the port' opened "$1"
    exec {connection}<>"/dev/tcp/127.0.0.1/$(sed -n 's/.*127.0.0.1:\([0-9]*\) .*/\1/p' "$T/forward.$1")"
}
case_port_forward_needs_no_process_where_the_node_is_reached() {
    local connection
    forwarders=()
    simple ports 'nc -ll -p 18084 -e cat & exec httpd -f -p 127.0.0.1:18085'
    until_phase ports Running
    until_entered ports
    trap 'kill "${forwarders[@]}"' EXIT
    forwarded 18084
    echo hello >&"$connection"
    same 'an answer' hello "$(timeout 60 head -n 1 <&"$connection")"
    same 'processes for a port that the login node reaches' '' "$(on_nodes 'relay 18084')"
    # (That one would be seen.)
    forwarded 18085
    relayed() { [ -n "$(on_nodes 'relay 18085')" ]; }
    wait_for 60 'a process for a port that it does not reach' relayed
}

case_who_follows_a_log_shares_one_reading() {
    local uid one n followers=()
    simple talks 'until [ -e /tmp/go ]; do echo waiting; sleep 0.5; done; seq 1 1000000; echo whole'
    until_phase talks Running
    until_entered talks
    uid=$(uid_of talks)
    readings() { on_login "pgrep -fc 'pod/[l]og .* $uid '" || true; }
    follow() { # NAME OPTION…
        kubectl -n "$ns" logs -f "${@:2}" talks >"$T/follow.$1" 2>"$T/err.$1" &
        followers+=("$!")
        follows() { grep -q waiting "$T/follow.$1"; }
        wait_for 60 "the log to be followed by $1: $(cat "$T/err.$1")" follows "$1"
    }
    trap 'kill -CONT "${followers[@]}"; kill "${followers[@]}"' EXIT
    follow 0
    one=$(readings)
    [ "$one" -gt 0 ] || wrong 'no process reads the log'
    for n in 1 2 3 4 5 6; do follow "$n"; done
    follow tail --tail=1
    follow since --since=2s
    as_one() { [ "$(readings)" = "$one" ]; }
    wait_for 60 "nine to be one reading: there are $(readings) processes, $one at first" as_one
    # One that takes nothing holds up nobody, and has missed nothing in the end.
    kill -STOP "${followers[6]}"
    k exec talks -- touch /tmp/go
    until_phase talks Succeeded
    for n in 0 1 2 3 4 5 7 8; do wait "${followers[n]}" || wrong "a log ended badly: $(cat "$T"/err.*)"; done
    kill -CONT "${followers[6]}"
    wait "${followers[6]}" || wrong "the slow one ended badly: $(cat "$T/err.6")"
    trap - EXIT
    k logs talks >"$T/all"
    same 'the last line' whole "$(tail -n 1 "$T/all")"
    for n in 0 1 2 3 4 5 6; do cmp "$T/all" "$T/follow.$n"; done
    for n in tail since; do
        same "what $n began with" "$(tail -c "$(wc -c <"$T/follow.$n")" "$T/all" | sha256sum)" "$(sha256sum <"$T/follow.$n")"
    done
    has_no_reading() { [ "$(readings)" = 0 ]; }
    wait_for 60 'no process to be left' has_no_reading
}
