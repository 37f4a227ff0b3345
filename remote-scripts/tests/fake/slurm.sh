# Sourced by the fake commands: a Slurm of files. Its jobs lie in ../state (beside bin/), a directory per id.
# shellcheck shell=sh
set -u
LC_ALL=C
state=${0%/bin/*}/state
mkdir -p "$state"
# shellcheck disable=SC2034
US=$(printf '\037')
if [ -e "$state/down" ]; then
    echo "${0##*/}: error: Unable to contact slurm controller (connect failure)" >&2
    exit 1
fi
