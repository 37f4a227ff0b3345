# lib/entry.sh LOADER HOSTNAME run | enter WORD… | serve PROBE NUMBER WORD…
#
# The first thing in a container of container/apptainer, run by the node's own sh, which is bound in beside it: makes the
# environment what the pod says (the image's variables, then the pod's) and becomes the command. LOADER is what has to
# come before a program of the node's to run it here.
# shellcheck shell=sh disable=SC2034 # base.sh and container.sh use them
t=/.singularity.d/towline
. "$t/lib/base.sh"
. "$t/lib/container.sh"
loader=$1 hostname=$2 mode=$3
shift 3
# shellcheck disable=SC2086 # several words
pairs "$t/container/container" $container_keys || exit 70
source=$t/container name=$p_name failed=$t/failed
# Of a command that is entered, the container's report has nothing to say.
[ "$mode" = run ] || failed=

# Apptainer's own variables are not the image's.
for variable in APPNAME BIND COMMAND CONTAINER ENVIRONMENT NAME NO_EVAL; do unset "APPTAINER_$variable" "SINGULARITY_$variable"; done
unset PS1 PROMPT_COMMAND LD_LIBRARY_PATH LANG SHLVL OLDPWD LC_ALL
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
set +u
variables=/.singularity.d/env/10-docker2singularity.sh
# shellcheck disable=SC1090
if [ -r "$variables" ]; then . "$variables"; fi
set -u
# With GPUs, the node's driver libraries are here.
set -- "$mode" "$@"
for library in /.singularity.d/libs/*; do
    [ ! -e "$library" ] || export "LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/.singularity.d/libs"
    break
done
shift
[ -z "$hostname" ] || export "HOSTNAME=$hostname"
# Who runs env for names that a shell cannot export.
become_env="$loader $t/node/env" become_hidden="$loader $t/node/perl $t/lib/environment.pl"

# rooted: true if this process has capabilities (in its user namespace).
rooted() {
    while read -r key value; do
        case $key$value in
            CapEff:*[!0]*) return 0 ;;
        esac
    done </proc/self/status
    return 1
}
# (What it may not inherit and is not bound to have, a command of root's does not get.)
if [ -n "$p_capabilities" ] && rooted; then
    become_wrap="$loader $t/node/setpriv --inh-caps=-all --bounding-set=$p_capabilities --"
fi
# (Who comes later enters the namespace in which the command is that user.)
if [ "$mode" = run ] && is_number "$p_user" && rooted; then
    # As a runtime does: the group that the image names for this user, or root's.
    while [ -z "$p_group" ] && IFS=: read -r _ _ number group _; do
        [ "$number" != "$p_user" ] || p_group=$group
    done 2>/dev/null </etc/passwd
    is_number "$p_group" || p_group=0
    become_wrap="$loader $t/node/unshare -U --map-user=$p_user --map-group=$p_group --"
fi

if [ -z "$p_workdir" ] && [ -r /.singularity.d/towline-workdir ]; then read -r p_workdir </.singularity.d/towline-workdir; fi
cd -- "${p_workdir:-/}" || cannot ContainerCannotRun 128 "there is no directory $p_workdir"

# link FILE NAME: unless there is such a name.
link() {
    # shellcheck disable=SC2086
    [ -e "$2" ] || $loader "$t/node/ln" -s "$1" "$2" 2>/dev/null
}
run() {
    : >"$failed"
    # Apptainer mounts nothing into its /dev, and no shell makes links.
    link "$t/termination" /dev/termination-log
    for device in "$t/dev/"*; do
        [ ! -e "$device" ] || link "$device" "/dev/${device##*/}"
    done
    if [ -e "$source/command" ] && [ $# != 0 ]; then
        become "$@"
    fi
    # As the image says, with the pod's args: what Apptainer made of ENTRYPOINT and CMD is a script that ends with `exec …`.
    script=/.singularity.d/runscript
    [ -r "$script" ] || cannot ContainerCannotRun 127 'neither the pod nor the image has a command'
    read -r line <"$script"
    case $line in
        '#!/bin/sh'*) ;;
        *) become "$script" "$@" ;;
    esac
    # (Not to let a shell of the image's evaluate the arguments once more.)
    # shellcheck disable=SC2034
    SINGULARITY_NO_EVAL=1
    alias exec=become_this
    set +u
    # shellcheck disable=SC1090
    . "$script"
}
become_this() {
    unalias exec
    unset SINGULARITY_NO_EVAL
    become "$@"
}
case $mode in
    run) with_command run ;;
    serve)
        . "$t/lib/prober.sh"
        will_serve "$t/said/$1" "$2"
        shift 2
        become "$@"
        ;;
    *) become "$@" ;;
esac
