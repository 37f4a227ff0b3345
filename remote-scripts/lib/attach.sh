# Sourced by pod/session: the streams of a container's own process, on its node. What the session reads goes to the container
# (see lib/console.sh); what the container writes is read from its log, from now on.
# shellcheck shell=sh disable=SC2154 # the variables are the session's

# attach_open NAME: finds both ways. Ends with 69 if the container has no input, or none any more.
attach_open() {
    first_line "$pod/run/$1.console"
    read -r holder stdin process <<EOF
$line
EOF
    case $stdin in
        '' | -) attach_refused "container $1 of pod $uid has no standard input" ;;
        taken) attach_refused "the standard input of container $1 of pod $uid was given away to who attached first" ;;
    esac
    terminal=
    if [ "$input" = tty ]; then
        first_line "$pod/run/$1.tty"
        terminal=$line
        [ -c "$terminal" ] || attach_refused "container $1 of pod $uid has no terminal"
    fi
    find_program tail || attach_refused "there is no tail on $(uname -n)"
    . "$here/../lib/log.sh"
    enter_log "$uid" "$1" -1
    begin=$(size)
    [ -w "/proc/$holder/fd/8" ] || attach_refused "nobody holds the standard input of container $1 of pod $uid"
    attached=$pod/run/attached.$1.$token
    : >"$attached"
    exec 6>"/proc/$holder/fd/8"
    [ "$stdin" != once ] || {
        echo "$holder taken $process" >"$pod/run/$1.console"
        kill "$holder"
    }
    exec 5<&0 </dev/null
    [ -z "$terminal" ] || {
        # (Before anything is typed, and in this order: no change of the size is missed.)
        stty raw -echo <&5 2>/dev/null
        trap fit WINCH
        fit
    }
}
attach_refused() {
    printf '%s\n' "$1" >&2
    exit 69
}

# attach: carries both ways until the container has ended.
attach() {
    # (The follower ends when the container has, having written out all that there is.)
    "$program" --pid="$process" -s 0.1 -c "+$((begin + 1))" -f -- "$file" 2>/dev/null 5<&- 6>&- &
    follower=$!
    cat <&5 >&6 2>/dev/null &
    reader=$!
    exec 6>&-
    await "$follower"
    kill "$reader" 2>/dev/null
}
# fit: the container's terminal becomes as large as the session's.
fit() {
    shape=$(stty size <&5 2>/dev/null) && [ "$shape" != '0 0' ] &&
        stty rows "${shape% *}" cols "${shape#* }" <"$terminal" 2>/dev/null
}
