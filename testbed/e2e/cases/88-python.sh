# shellcheck shell=bash disable=SC2154,SC2016,SC2317 # driver, image, T and the functions come from run and tools.sh
# The Python client, whose WebSockets the API server hands on to the node as they are.

case_the_python_client() {
    local python port=$((20000 + RANDOM % 5000 * 2))
    python=$("$driver" extra python --name "$TESTBED_NAME")
    client() { timeout 120 "$python" -u "${BASH_SOURCE[0]%/*}/../client.py" "$1" "$ns" snake "${@:2}"; }
    pod snake <<END
containers:
  - {name: main, image: $image, command: [sh, -c, 'nc -ll -p $port -e cat & n=0; until [ -e /tmp/over ]; do echo tick \$n; n=\$((n + 1)); sleep 0.2; done; echo last']}
END
    until_phase snake Running
    entered() { k exec snake -- true; }
    wait_for 60 'the container to be entered' entered
    client exec >"$T/exec"
    has "$(cat "$T/exec")" 'protocol v'
    same exec $'stdout got a line\nstderr oops\ncode 7' "$(grep -v '^protocol' "$T/exec")"
    same terminal $'size 37 91\nsaid got go\ncode 3' "$(client terminal)"
    same attach 'heard tick' "$(client attach)"
    same port-forward $'echo there and back\nopen None\nclosed refused' "$(client forward "$port")"
    client logs >"$T/logs" &
    followed() { grep -q tick "$T/logs"; }
    wait_for 60 'the log to be followed' followed
    k exec snake -- touch /tmp/over
    wait
    same 'the last line' 'line last' "$(tail -n 1 "$T/logs")"
    same 'the first line' 'line tick 0' "$(head -n 1 "$T/logs")"
}
