# Sourced by pod/supervisor in the runner of a container that has a standard input or a terminal.
#
# The container reads from a pipe without a name. A holder has both of its ends as descriptor 8, so that the input has no end
# before it is let go of; who attaches (lib/attach.sh) opens that as /proc/HOLDER/fd/8. The holder is the runner, or with
# stdin=once a process that whoever attaches first ends: then the input ends with that session, however that ends.
#
# A terminal is made by script(1), which stands between that pipe, the terminal and the log, and tells the exit code.
# shellcheck shell=sh disable=SC2154 # the variables are the supervisor's

# shellcheck source=SCRIPTDIR/first.sh
. "$scripts/lib/first.sh"

# console_start WORD…: starts the container as the runner would, with a shell that reads WORD…. Sets $child. ($which is the
# container's number.)
console_start() {
    own_pipe || console_failed "failed to make a pipe for the container's input"
    # (What reads only must not keep the input from its end.)
    exec 7</proc/self/fd/4 8<&4 4<&-
    log=log/$c_name/$c_restarts.log
    if [ "$c_tty" = 1 ]; then
        find_program script || console_failed "there is no script(1) on $host to make a terminal with"
        put_words "$@" >"run/$c_name.start"
        shell=${SHELL-}
        # The text holds names of variables only; their values are not read by a shell again.
        # shellcheck disable=SC2016,SC2086
        TOWLINE_CONSOLE=$scripts/pod/console TOWLINE_CONSOLE_SH=$SH TOWLINE_CONSOLE_SHELL=$shell \
            TOWLINE_CONSOLE_N=$which TOWLINE_CONSOLE_NAME=$c_name SHELL=/bin/sh \
            $fresh "$program" -qefc 'exec "$TOWLINE_CONSOLE_SH" "$TOWLINE_CONSOLE"' /dev/null \
            >>"$log" 2>&1 <&7 7<&- 8>&- &
        child=$!
    else
        # shellcheck disable=SC2086 # $fresh is several words
        $fresh "$SH" "$@" >>"$log" 2>&1 <&7 7<&- 8>&- 3>&- &
        child=$!
        started "$child"
    fi
    exec 7<&-
    holder=
    if [ "$c_stdin" = once ]; then
        sleep 2147483647 >/dev/null 2>&1 3>&- &
        holder=$!
        exec 8>&-
    fi
    read -r own _ </proc/self/stat
    echo "${holder:-$own} ${c_stdin:--} $child" >"run/$c_name.console"
}

# console_failed TEXT: the container cannot be started.
console_failed() {
    printf 'CreateContainerError%s%s\n' "$US" "$1" >"run/$c_name.failed"
    echo "exit $which 128" >&3
    exit
}

# console_end: the container has ended; what it left in its terminal's session ends as well. Who is attached has still to tell
# its client what came last, and the batch system may end that as soon as the pod is over: a moment is given for it.
console_end() {
    first_line "run/$c_name.pid"
    [ "$c_tty" != 1 ] || ! is_number "$line" || kill -KILL -"$line" 2>/dev/null
    [ -z "$holder" ] || kill "$holder" 2>/dev/null
    printf '' >"run/$c_name.console"
    is_attached || return 0
    tries=25
    while is_attached && [ "$tries" -gt 0 ]; do
        sleep 0.2
        tries=$((tries - 1))
    done
    sleep 0.5
    rm -f "run/attached.$c_name."*
}
is_attached() {
    for attached in "run/attached.$c_name."*; do
        [ ! -e "$attached" ] || return 0
    done
    return 1
}
