# Sourced by the fake commands: a Slurm of files. Its jobs lie in ../state (beside bin/), a directory per id.
# shellcheck shell=sh
set -u
LC_ALL=C
state=${0%/bin/*}/state
mkdir -p "$state"
# shellcheck disable=SC2034
US=$(printf '\037')
# below PID: the processes below it, and itself.
below() {
    ps -e -o pid=,ppid= | awk -v top="$1" '
        { parent[$1] = $2 }
        END { for (p in parent) { q = p; while (q in parent && q != top) q = parent[q]; if (q == top) print p } }'
}
if [ -e "$state/down" ]; then
    echo "${0##*/}: error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
fi
