# shellcheck shell=bash disable=SC2154,SC2016
# The same path without Kubernetes, over SSH, as different users with different shells and ways to log in.

manifest() { # NAME LINE OF SHELL
    jq -n --arg name "$1" --arg line "$2" '{apiVersion: "v1", kind: "Pod", metadata: {name: $name}, spec: {restartPolicy: "Never",
        containers: [{name: "main", image: "busybox:1", command: ["sh", "-c", $line]}]}}' >"$T/$1.json"
}
run_at() { # TARGET LINE OF SHELL; sets $code, and $T/out
    manifest there "$2"
    code=0
    towline run -f "$T/there.json" "$1" >"$T/out" 2>"$T/err" || code=$?
}

case_run_ends_with_the_containers_code() {
    run_at login 'echo out; exit 7'
    same code 7 "$code"
    same output out "$(cat "$T/out")"
    same 'pods left' 0 "$(towline ps -o json | jq '[.. | objects | select(.name? == "there")] | length')"
}

case_run_with_other_shells_and_ways_in() {
    local target
    for target in login-carol login-dave login-certificate login-jump; do
        run_at "$target" 'echo "it'"'"'s $((6 * 7))"'
        same "code of $target" 0 "$code"
        same "output of $target" "it's 42" "$(cat "$T/out")"
    done
}

# bob may have four jobs at a time: the others wait, and run when there is room.
case_run_waits_for_a_queue_limit() {
    {
        for n in 1 2 3 4 5 6; do
            manifest "p$n" 'sleep 2; echo ran'
            echo '---'
            cat "$T/p$n.json"
        done
    } >"$T/six.yaml"
    towline run -f "$T/six.yaml" login-bob >"$T/out" 2>"$T/err" || wrong "$(cat "$T/err")"
    same 'pods that ran' 6 "$(grep -c ran "$T/out")"
    has "$(cat "$T/err")" QueueLimit
}

case_run_the_example() {
    towline run -f "$here/../../examples/co2/co2.yaml" login >"$T/out" 2>"$T/err" || wrong "$(cat "$T/err")"
    same 'parts' 8 "$(grep -c 'ppm/year' "$T/out")"
}

case_detach_ps_logs_cancel() {
    manifest long 'trap "echo told; exit 3" TERM; echo up; while :; do sleep 0.2; done'
    towline run -f "$T/long.json" --detach login >"$T/out" 2>&1
    listed() { towline ps -o json login | jq -e '.. | objects | select(.name? == "long")'; }
    wait_for 30 'the pod to be listed' listed
    up() { towline logs -t login long | grep -q up; }
    wait_for 60 'the pod to be up' up
    towline cancel -t login long >/dev/null
    told() { towline logs -t login long | grep -q told; }
    wait_for 60 'the pod to be told' told
    # gc takes only what has ended.
    taken() { towline gc --older-than 0s login && ! listed; }
    wait_for 60 'gc to take the pod that has ended' taken
}

case_check_and_render() {
    towline check login -o json >"$T/check.json" || wrong "$(cat "$T/check.json")"
    jq -e . "$T/check.json" >/dev/null
    has "$(towline check login)" 'shared directory'
    manifest shown 'echo $HOME'
    has "$(towline render -f "$T/shown.json" login)" '=echo $HOME'
}

case_an_unknown_host_key_is_a_stop() {
    sed "s|^\( *UserKnownHostsFile\).*|\1 $T/known_hosts|I" "$TOWLINE_SSH_CONFIG" >"$T/config"
    : >"$T/known_hosts"
    ! towline check --ssh-config "$T/config" login >"$T/out" 2>&1 || wrong 'an unknown host was accepted'
    has "$(cat "$T/out")" SHA256:
    ! towline ps --ssh-config "$T/config" login >"$T/out" 2>&1 || wrong 'an unknown host was accepted'
    has "$(cat "$T/out")" '--accept-new-host-key'
    towline check --ssh-config "$T/config" --accept-new-host-key login >"$T/out" 2>&1 || wrong "$(cat "$T/out")"
    [ -s "$T/known_hosts" ] || wrong 'the accepted key was not kept'
}
