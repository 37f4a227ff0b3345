# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# What all parts of the driver use: messages, the state of one testbed, processes in the background, waiting.

say() { printf '%s\n' "testbed $name: $*" >&2; }
die() {
    printf '%s\n' "testbed${name:+ $name}: $*" >&2
    exit 1
}

# wait_for SECONDS COMMAND…: until the command succeeds.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    while ! "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}

# single_quoted TEXT: a word that any POSIX shell reads as TEXT.
single_quoted() { printf "'%s'" "${1//\'/\'\\\'\'}"; }

# hash_of FILE…: a short name for what the files contain.
hash_of() { cat "$@" | sha256sum | cut -c 1-12; }

# install_packages PACKAGE…: those that have a candidate, where this may be done; else names the command that does it.
install_packages() {
    if ! command -v apt-get >/dev/null; then die "missing: $*. Install these (named as in Debian) and run this again"; fi
    if [ "$(id -u)" != 0 ]; then die "missing; install with: sudo apt-get install $*"; fi
    say "installing $*"
    local known=() package
    apt-get update -qq >/dev/null 2>&1 || true
    for package in "$@"; do
        # a package of another release of the distribution (docker-cli, split from docker.io in Debian 13)
        if apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then known+=("$package"); fi
    done
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${known[@]}" >"$root/apt.log" 2>&1 ||
        die "apt-get install ${known[*]} failed: $(tail -n 3 "$root/apt.log")"
}

# need COMMAND PACKAGE [COMMAND PACKAGE]…
need() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"
}

# ---- the state of a testbed: $dir, with its settings in one file

# load: the settings of this testbed. Fails when there is no such testbed.
load() {
    [ -f "$dir/settings" ] || return 1
    # shellcheck source=/dev/null
    . "$dir/settings"
}
load_or_die() { load || die "there is no such testbed; testbed up --name $name makes it"; }

save() {
    local key
    for key in profile kubernetes port_base engine image runtime; do printf '%s=%q\n' "$key" "${!key:-}"; done >"$dir/settings.new"
    mv "$dir/settings.new" "$dir/settings"
}

# The ports of a testbed are a block of ten.
ssh_port() { echo $((port_base)); }
registry_port() { echo $((port_base + 1)); }
api_port() { echo $((port_base + 2)); }
etcd_port() { echo $((port_base + 3)); }
etcd_peer_port() { echo $((port_base + 4)); }
controller_manager_port() { echo $((port_base + 5)); }
scheduler_port() { echo $((port_base + 6)); }
node_port() { echo $((port_base + 7)); }
metrics_port() { echo $((port_base + 8)); }

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_ports: the first block that no testbed has and where nothing listens.
choose_ports() {
    local port free
    for ((port_base = 21000; port_base < 30000; port_base += 10)); do
        if grep -qsx "port_base=$port_base" "$root"/testbed/*/settings; then continue; fi
        free=1
        for ((port = port_base; port < port_base + 10; port++)); do
            if listens "$port"; then free=; fi
        done
        [ -z "$free" ] || return 0
    done
    die "no ten free ports in a row between 21000 and 30000"
}

# ---- processes in the background: $dir/run/NAME holds the process id and its start, so that no other is ever killed

# started_at PID: nothing if it has ended, also where nobody has taken note of that yet (state Z).
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" { print $20 }'; }

# daemon NAME COMMAND…: detached from the caller's terminal, pipes and lock. Its output is in $dir/log/NAME.log.
daemon() {
    local daemon=$1
    shift
    mkdir -p "$dir/run" "$dir/log"
    setsid "$@" >"$dir/log/$daemon.log" 2>&1 </dev/null 9>&- &
    echo "$! $(started_at $!)" >"$dir/run/$daemon"
}

daemon_runs() {
    local pid started
    read -r pid started 2>/dev/null <"$dir/run/$1" && [ -n "$started" ] && [ "$(started_at "$pid")" = "$started" ]
}

# stop_daemon NAME [SIGNAL]: asks it to end, and ends it if it does not within ten seconds.
stop_daemon() {
    local pid rest
    if daemon_runs "$1"; then
        read -r pid rest <"$dir/run/$1"
        kill -s "${2:-TERM}" "$pid" 2>/dev/null || true
        wait_for 10 daemon_ended "$1" || kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$dir/run/$1"
}
daemon_ended() { ! daemon_runs "$1"; }

# daemon_failed NAME WHAT: says why it cannot go on.
daemon_failed() { die "$2; the end of $dir/log/$1.log: $(tail -n 3 "$dir/log/$1.log" 2>/dev/null | cut -c 1-400)"; }
