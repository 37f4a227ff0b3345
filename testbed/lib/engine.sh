# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# The container engine: the Docker that answers, else a daemon of our own (as root). It is one for all testbeds of the
# machine, and ends with the last of them.

own_run=/run/towline-testbed
own_engine=unix://$own_run/docker.sock

docker_answers() { docker version >/dev/null 2>&1; }

# engine_use: points docker at the engine of this testbed, if it has one yet, or else at the one that answers.
engine_use() {
    if [ -n "${engine:-}" ]; then
        export DOCKER_HOST=$engine
        if [ "$engine" = default ]; then unset DOCKER_HOST; fi
        docker_answers
        return
    fi
    if [ "${DOCKER_HOST:-}" = "$own_engine" ]; then unset DOCKER_HOST; fi
    if docker_answers; then
        engine=${DOCKER_HOST:-default}
    elif DOCKER_HOST=$own_engine docker_answers; then
        engine=$own_engine
        export DOCKER_HOST=$engine
    else
        return 1
    fi
}

engine_up() {
    command -v docker >/dev/null || install_packages docker.io docker-cli iptables
    if engine_use || { [ -d /run/systemd/system ] && wait_for 10 engine_use; }; then return; fi
    local answer
    answer=$(docker version 2>&1 >/dev/null | tail -n 1) || true
    if [ -n "${DOCKER_HOST:-}" ] && [ "$DOCKER_HOST" != "$own_engine" ]; then
        die "the Docker at $DOCKER_HOST does not answer: $answer"
    fi
    [ "$(id -u)" = 0 ] || die "no Docker answers ($answer). Start it with: sudo systemctl start docker, and let $(id -un) use it with: sudo usermod -aG docker $(id -un)"
    command -v dockerd >/dev/null || install_packages docker.io iptables
    command -v iptables >/dev/null || install_packages iptables
    engine=$own_engine
    export DOCKER_HOST=$engine
    say "starting a Docker daemon of our own"
    mkdir -p "$own_run" "$root/docker"
    setsid dockerd --data-root "$root/docker/data" --exec-root "$own_run/exec" --pidfile "$own_run/dockerd.pid" \
        -H "$own_engine" >"$root/docker/dockerd.log" 2>&1 </dev/null 9>&- &
    wait_for 30 docker_answers || die "dockerd does not start: $(tail -n 3 "$root/docker/dockerd.log")"
}

# engine_down: ends our own daemon when no container is left in it.
engine_down() {
    [ "${engine:-}" = "$own_engine" ] && [ -f "$own_run/dockerd.pid" ] || return 0
    [ -z "$(docker ps -aq)" ] || return 0
    local pid
    pid=$(cat "$own_run/dockerd.pid")
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ] || return 0
    say "ending the Docker daemon"
    kill "$pid"
    wait_for 20 engine_ended "$pid" || say "dockerd ($pid) has not ended yet"
}
engine_ended() { [ -z "$(started_at "$1")" ]; }
