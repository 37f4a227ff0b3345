# Sourced by pod/supervisor for pods whose containers have hooks: the files post_start and pre_stop of a container.
# shellcheck shell=sh disable=SC2034,SC2154

# hook N NAME: begins a hook of container N, which is loaded. `hook N NAME CODE` tells how it ended.
hook() {
    # shellcheck disable=SC2086 # several words
    pairs "$c_source/$2" $action_keys || p_action=none
    (
        beside KILL act "$2"
        printf 'hook %s %s %s\n' "$1" "$2" "$?" >&3
    ) &
    c_hook=$!
}

# act NAME: does what a hook says, which was read.
act() {
    case $p_action in
        exec)
            # The container can be entered as soon as its own command has begun.
            until is_up; do sleep 0.1 2>/dev/null || sleep 1; done
            export "TOWLINE_WORDS=$pod/$c_source/$1.exec"
            exec "$SH" "$scripts/container/$runtime" enter "$pod" "$pod/$c_source" "$c_pid" >/dev/null 2>&1 </dev/null
            ;;
        sleep) exec sleep "$p_seconds" ;;
        http)
            # (A minute is what a kubelet's client waits for a hook's answer.)
            here_is "$p_host"
            net http "$c_source/$1" "$there" "$p_port" "$p_path" "$p_scheme" 60 >&2
            ;;
        *) return 2 ;;
    esac
}

# hooked N NAME CODE: a hook of container N, which is loaded, has ended.
hooked() {
    [ "$c_phase" = running ] && [ -n "$c_hook" ] || return 0
    c_hook=
    case $2 in
        post_start)
            if [ "$3" = 0 ]; then
                c_up=1 c_state=running c_reason=- changed=1
            else
                note warning FailedPostStartHook 'PostStartHook failed'
                doom "$1" hook "$pod_grace"
            fi
            ;;
        pre_stop)
            [ "$3" = 0 ] || note warning FailedPreStopHook 'PreStopHook failed'
            c_told=turn
            tell "$1"
            ;;
    esac
}
