# Sourced by pod/supervisor for pods whose containers have probes: the files startup, liveness and readiness of a container.
#
# Time is the sampler's: an event each second. A command is run by a server inside the container (lib/prober.sh), one for
# each such probe, started when it is first due; a port is asked by lib/net.sh. Thresholds, and what follows from a result,
# are a kubelet's (pkg/kubelet/prober/worker.go).
# shellcheck shell=sh disable=SC2034,SC2154

probe_fields='of kind action file host port path scheme initial period timeout successes failures grace due busy late last run said
server ready since shown good bad error asked took within'
probe_keys='initial_s period_s timeout_s successes failures grace_s'
# load_probe Q / save_probe Q: as load and save of the supervisor. near N: what little a probe has to know of container N.
takes='' puts=''
for field in $probe_fields; do
    takes="$takes q_$field=\\\$q_${field}_\$1" puts="$puts q_${field}_\$1=\\\$q_$field"
done
eval "load_probe() { eval \"$takes\"; }
save_probe() { eval \"$puts\"; }"
near() {
    eval "c_pid=\$c_pid_$1 c_up=\$c_up_$1 c_told=\$c_told_$1 c_begun=\$c_begun_$1 c_name=\$c_name_$1 c_source=\$c_source_$1 c_ranks=\$c_ranks_$1"
}
soonest=0 count_due=0
# Durations of probes that came out well are counted by these bounds, in hundredths of a second. (Finer ones, as a kubelet's
# first two, the clock does not tell apart.)
bounds='2 5 10 25 50 100 250 500 1000'
none_within='0 0 0 0 0 0 0 0 0 0'

# read_probes N: reads those of container N, which is loaded.
read_probes() {
    for q_kind in startup liveness readiness; do
        [ -e "$c_source/$q_kind" ] || continue
        # shellcheck disable=SC2086 # several words
        pairs "$c_source/$q_kind" $probe_keys $action_keys || return
        for number in "$p_initial_s" "$p_period_s" "$p_timeout_s" "$p_successes" "$p_failures"; do
            is_number "$number" || {
                echo "$c_source/$q_kind lacks a number" >&2
                return 1
            }
        done
        is_number "$p_grace_s" || p_grace_s=$pod_grace
        here_is "$p_host"
        q_of=$1 q_action=$p_action q_file=$c_source/$q_kind q_host=$there q_port=$p_port q_path=$p_path q_scheme=$p_scheme
        q_initial=$p_initial_s q_period=$p_period_s q_timeout=$p_timeout_s q_successes=$p_successes q_failures=$p_failures
        q_grace=$p_grace_s q_due='' q_busy='' q_late='' q_last='' q_run=0 q_said='' q_server='' q_ready='' q_since='' q_shown=''
        q_good=0 q_bad=0 q_error=0 q_asked=0 q_took=0 q_within=$none_within
        probes=$((probes + 1)) c_probes="$c_probes $probes"
        save_probe "$probes"
    done
}

# unproven: the container that is loaded begins: what its probes have to show has not been shown.
unproven() {
    for q in $c_probes; do
        load_probe "$q"
        q_due=$c_started q_busy='' q_late='' q_last='' q_run=0 q_said='' q_server='' q_ready='' q_since='' q_shown=''
        case $q_kind in
            startup) c_begun='' c_ready='' ;;
            readiness) c_ready='' ;;
        esac
        save_probe "$q"
    done
    soonest=$now
}

# unprobed: the container that is loaded has ended.
unprobed() {
    c_begun='' c_ready=''
    for q in $c_probes; do
        load_probe "$q"
        case $q_action in
            exec) [ -z "$q_server" ] || kill -KILL "$q_server" 2>/dev/null ;;
            *) quit "$q_server" ;;
        esac
        q_due='' q_busy='' q_late='' q_server='' q_ready=''
        save_probe "$q"
    done
}

# probing: looks after everything that is due now.
probing() {
    [ "$now" -ge "$soonest" ] || return 0
    soonest=$((now + 3600)) q=0
    while [ "$q" -lt "$probes" ]; do
        q=$((q + 1))
        eval "due=\$q_due_$q busy=\$q_busy_$q"
        [ -n "$due" ] || continue
        if [ -z "$busy" ] && [ "$due" -gt "$now" ]; then
            at "$due"
            continue
        fi
        load_probe "$q"
        near "$q_of"
        probe_one
        save_probe "$q"
    done
    [ "$now" -lt "$count_due" ] || count_probes
}
# count_probes: writes down how often each probe came out how, for lib/meter.sh: NAME KIND GOOD BAD ERROR, and of the good ones
# how many hundredths of a second they took together, and how many of them were within each of the bounds but not the one before.
count_probes() {
    count_due=$((now + 10)) q=0 counts=''
    while [ "$q" -lt "$probes" ]; do
        q=$((q + 1))
        load_probe "$q"
        eval "counts=\$counts\$c_name_$q_of"
        counts="$counts $q_kind $q_good $q_bad $q_error $q_took $q_within$LF"
    done
    { printf '%s' "$counts" >run/probed; } 2>/dev/null
}
# at TIME: something is to be done then.
at() { [ "$1" -ge "$soonest" ] || soonest=$1; }

# hundredths: sets $hundredths to the kernel's uptime, to 0 if that is not known. (The clock of `tick` has whole seconds.)
hundredths() {
    hundredths=0
    [ -n "$uptime" ] || return 0
    hundredths=${uptime#*.}
    hundredths=$((${uptime%%.*} * 100 + ${hundredths#0}))
}
# lasted ASKED TOOK WITHIN…: a probe that was begun at ASKED came out well. Sets $took and $within to what that makes of them.
lasted() {
    hundredths
    [ "$1" != 0 ] || hundredths=0
    lasted=$((hundredths - $1)) took=$(($2 + hundredths - $1)) within='' counted=0
    shift 2
    for bound in $bounds; do
        if [ "$counted" = 0 ] && [ "$lasted" -le "$bound" ]; then
            within="$within$(($1 + 1)) " counted=1
        else
            within="$within$1 "
        fi
        shift
    done
    within=$within$(($1 + 1 - counted))
}

# probe_one: looks after probe $q, which is loaded.
probe_one() {
    [ -n "$c_pid" ] && [ -n "$c_up" ] || {
        at "$((now + 1))"
        return 0
    }
    if [ -z "$q_shown" ]; then
        # What comes before the command itself begins counts for nothing: it has no say in how long that takes.
        if is_up; then q_shown=1 q_due=$((now + q_initial)); else q_due=$((now + 1)); fi
        [ "$q_due" -le "$now" ] || {
            at "$q_due"
            return 0
        }
    fi
    # A container that is told to end is asked for nothing but whether it still takes work.
    [ -z "$c_told" ] && [ -z "$stopping" ] || [ "$q_kind" = readiness ] || return 0
    case $q_kind.$c_begun in
        startup.1) return 0 ;;
        startup. | *.1) ;;
        # (It goes on with the container's startup.)
        *) return 0 ;;
    esac
    if [ -n "$q_busy" ]; then
        if [ $((now - q_busy)) -gt "$q_timeout" ]; then
            q_busy=
            if [ "$q_action" = exec ]; then
                if kill -USR2 "$q_server" 2>/dev/null; then q_late=1 q_since=$now; else q_server=''; fi
            else
                quit "$q_server"
                q_server=
            fi
            judge bad "probe timed out after ${q_timeout}s"
        else
            at "$((q_busy + q_timeout + 1))"
            return 0
        fi
    fi
    if [ "$q_due" -le "$now" ]; then
        begin_probe || {
            at "$((now + 1))"
            return 0
        }
        q_due=$((q_due + q_period))
        # (What was missed is not made up for.)
        [ "$q_due" -gt "$now" ] || q_due=$((now + q_period))
        at "$((now + q_timeout + 1))"
    fi
    at "$q_due"
}

# begin_probe: false if it cannot be begun yet.
begin_probe() {
    if [ -n "$q_late" ]; then
        # What was killed has to be heard of first.
        [ $((now - q_since)) -ge 30 ] || return 1
        kill -KILL "$q_server" 2>/dev/null
        q_server='' q_late=''
    fi
    if [ "$q_action" = exec ]; then
        if [ -z "$q_server" ]; then
            is_up || return 1
            serve_probe
            return 1
        elif [ -z "$q_ready" ]; then
            # One that does not come up is begun anew.
            [ $((now - q_since)) -lt 30 ] || {
                kill -KILL "$q_server" 2>/dev/null
                q_server=''
                judge error "failed to enter the container"
            }
            return 1
        fi
        kill -USR1 "$q_server" 2>/dev/null || {
            q_server='' q_ready=''
            return 1
        }
    else
        case $q_action in
            http) ask="get" ;;
            *) ask=$q_action ;;
        esac
        (
            beside KILL net "$ask" "$q_file" "$q_host" "$q_port" "$q_path" "$q_scheme" "$q_timeout" >"run/$c_name.$q_kind" 2>&1
            printf 'probe %s %s\n' "$q" "$?" >&3
        ) &
        q_server=$!
    fi
    q_busy=$now
    hundredths
    q_asked=$hundredths
}

# serve_probe: starts the server of a command, with a pipe of its own to wait at.
serve_probe() {
    (
        own_pipe || exit 70
        exec "$SH" "$scripts/container/$runtime" serve "$pod" "$pod/$c_source" "$c_pid" "$q_kind" "$q"
    ) </dev/null >/dev/null 2>>supervisor.log &
    q_server=$! q_ready='' q_since=$now
}

# probed Q CODE: probe Q has told something.
probed() {
    q=$1
    if [ "$2" = 0 ]; then
        # (Most are as well as before.)
        eval "known=\$q_action_$q.\$q_last_$q.\$q_late_$q busy=\$q_busy_$q runs=\$((q_run_$q - q_successes_$q))"
        if [ "$known" = exec.good. ] && [ -n "$busy" ] && [ "$runs" -ge 0 ]; then
            eval "lasted \$q_asked_$q \$q_took_$q \$q_within_$q"
            eval "q_busy_$q='' q_good_$q=\$((q_good_$q + 1)) q_took_$q=\$took q_within_$q=\$within"
            return
        fi
    fi
    load_probe "$q"
    if [ "$2" = ready ]; then
        q_ready=1 soonest=$now
        save_probe "$q"
        probing
        return
    elif [ -n "$q_late" ]; then
        q_late=''
    elif [ -n "$q_busy" ]; then
        q_busy=
        [ "$q_action" = exec ] || q_server=
        near "$q_of"
        case $q_action.$2 in
            *.0)
                # shellcheck disable=SC2086 # several words
                lasted "$q_asked" "$q_took" $q_within
                q_took=$took q_within=$within
                judge good
                ;;
            exec.*)
                if [ -s "$c_source/said/$q_kind" ]; then judge bad "$(head -c 1000 "$c_source/said/$q_kind")"; else judge bad "exit code $2"; fi
                ;;
            *.2) judge error "$(head -c 1000 "run/$c_name.$q_kind")" ;;
            *) judge bad "$(head -c 1000 "run/$c_name.$q_kind")" ;;
        esac
    fi
    save_probe "$q"
}

# judge good|bad|error [WORDS]: what a result of probe $q, which is loaded, leads to.
judge() {
    load "$q_of"
    weigh "$@"
    save "$q_of"
}
weigh() {
    case $q_kind in
        startup) title=Startup ;;
        liveness) title=Liveness ;;
        *) title=Readiness ;;
    esac
    eval "q_$1=\$((q_$1 + 1))"
    if [ "$1" = "$q_last" ]; then q_run=$((q_run + 1)); else q_run=1; fi
    if [ "$1" != good ]; then
        # What is said again is not told again.
        clean "$2"
        [ "$q_run" != 1 ] && [ "$cleaned" = "$q_said" ] || {
            if [ "$1" = bad ]; then
                note warning Unhealthy "$title probe failed: $cleaned"
            else
                note warning Unhealthy "$title probe errored and resulted in unknown state: $cleaned"
            fi
            q_said=$cleaned
        }
    fi
    q_last=$1
    case $1 in
        good) [ "$q_run" -ge "$q_successes" ] || return 0 ;;
        bad) [ "$q_run" -ge "$q_failures" ] || return 0 ;;
        *) return 0 ;;
    esac
    case $q_kind.$1 in
        startup.good)
            c_begun=1 changed=1 c_ready=1
            # The others may begin, and until readiness has shown it the container is not ready.
            for other in $c_probes; do
                eval "[ \"\$q_kind_$other\" != readiness ] || c_ready=''"
            done
            soonest=$now
            ;;
        readiness.good) [ -n "$c_ready" ] || c_ready=1 changed=1 ;;
        readiness.bad) [ -z "$c_ready" ] || c_ready='' changed=1 ;;
        *.bad)
            note normal Killing "Container $c_name failed $q_kind probe, will be restarted"
            doom "$q_of" probe "$q_grace"
            ;;
    esac
}
