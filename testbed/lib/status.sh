# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# What of a testbed runs: one line, or one JSON object, for each part.

status() { # text|json
    load_or_die
    case $1 in
        text) parts | while IFS=$'\t' read -r part state detail; do printf '%-24s %-8s %s\n' "$part" "$state" "$detail"; done ;;
        json) parts | jq -R -s 'split("\n") | map(select(. != "") | split("\t") | {part: .[0], state: .[1], detail: .[2]})' ;;
        *) usage ;;
    esac
}

parts() {
    local part state
    printf 'testbed\t%s\tprofile %s, ports %s-%s, %s\n' "$name" "$profile" "$port_base" "$((port_base + 9))" "$dir"
    if engine_use; then row engine running "$engine"; else row engine stopped "$engine"; fi
    for part in $containers; do
        if running "$part"; then row "$part" running "$(container_detail "$part")"; else row "$part" stopped ''; fi
    done
    if running login; then
        state=$(inside login sinfo -h -o '%P %a %D nodes %t' 2>&1 | paste -sd ';' | sed 's/;/; /g') || true
        row slurm "$(slurm_is_ready && echo running || echo stopped)" "$state"
    fi
    if [ "$kubernetes" = yes ]; then
        for part in etcd kube-apiserver kube-controller-manager kube-scheduler node metrics-server; do
            if daemon_runs "$part"; then row "$part" running "process $(cut -d ' ' -f 1 "$dir/run/$part")"; else row "$part" stopped ''; fi
        done
    fi
}
row() { printf '%s\t%s\t%s\n' "$1" "$2" "$3"; }

container_detail() {
    case $1 in
        login) echo "ssh -F $dir/ssh/config login" ;;
        registry) echo "registry:5000, pushed to as $(registry_as_pushed)" ;;
        *) container "$1" ;;
    esac
}
