# Sourced by batch/*/enter: a session (a command on the node of a pod's job, beside its containers) as seen from where the
# client's connection ends. The script that sources this defines `launch WORD…`, which
# becomes the words on that node, and `end_launched PID`, which ends that.
#
# Standard input first brings the words of a command, in the form of lib/base.sh, and a line `.`; what follows is the
# session's own input. The input's end may be that of the session's input, or that of the connection. Which of the two it
# is tells an attempt to write to the client: `TOKEN:n 0` on standard error, which the client takes out again.
# shellcheck shell=sh

# session_of SCRIPTS ROOT AGENT UID TOKEN INPUT container NAME | attach NAME | relay PORT: checks the arguments. Sets $pod,
# $job, $token, $input and $words, the file with the words.
session_of() {
    [ $# = 8 ] || usage "batch/…/enter SCRIPTS ROOT AGENT UID TOKEN none|open|tty container NAME | attach NAME | relay PORT"
    agent_dir "$2" "$3"
    is_name "$4" || usage "not a UID: $4"
    is_name "$5" || usage "not a token: $5"
    case $6 in
        none | open | tty) ;;
        *) usage "INPUT is none, open or tty, not: $6" ;;
    esac
    case $7 in
        container) is_name "$8" || usage "not a container: $8" ;;
        attach) is_name "$8" && [ "$6" != none ] || usage "not a container, or no input to attach: $8" ;;
        relay) is_number "$8" || usage "not a port: $8" ;;
        *) usage "neither container, attach nor relay: $7" ;;
    esac
    pod=$dir/pods/$4 token=$5 input=$6 words=$dir/pods/$4/run/session.$5
    first_line "$pod/job"
    job=$line
    [ "$job" != - ] && [ -d "$pod/run" ] || {
        printf 'pod %s does not run on %s\n' "$4" "$(uname -n)" >&2
        exit 66
    }
    # (What waits here in a terminal is not echoed: it was made raw.)
    while :; do
        IFS= read -r line || exit 65
        [ "$line" != . ] || break
        printf '%s\n' "$line"
    done >"$words" || fail "failed to write $words"
}

# run_session WORD…: launches them with the session's input, ends them when the client is gone, and ends with their code.
run_session() {
    exec 4<&0 </dev/null
    child=
    # A word of the shell's own that nobody reads is not its end.
    trap : PIPE
    trap 'kill -TERM "$child" 2>/dev/null' TERM HUP
    if [ "$input" = tty ]; then
        hold "$@" <&4 4<&- &
    else
        feed | hold "$@" 4<&- &
    fi
    child=$!
    exec 4<&-
    wait_for "$child"
    rm -f -- "$words"
    exit "$code"
}

# wait_for PID: sets $code to its exit code, whatever is trapped meanwhile.
wait_for() {
    while :; do
        wait "$1"
        code=$?
        [ "$code" -gt 128 ] && kill -0 "$1" 2>/dev/null || return 0
    done
}

# hold WORD…: launches them, told to end by TERM (`end_launched PID`), and ends whoever feeds them when they have ended.
hold() {
    exec 5<&0
    launched=
    trap : PIPE
    trap '[ -z "$launched" ] || end_launched "$launched"' TERM HUP
    launch "$@" <&5 5<&- &
    launched=$!
    exec 5<&- </dev/null
    wait_for "$launched"
    children=''
    read -r own _ 2>/dev/null </proc/self/stat
    read -r children 2>/dev/null <"/proc/$$/task/$$/children"
    for other in $children; do
        [ "$other" = "$own" ] || kill -TERM "$other" 2>/dev/null
    done
    exit "$code"
}

feed() {
    reader=
    trap '' PIPE
    trap '[ -z "$reader" ] || kill "$reader" 2>/dev/null; exit' TERM HUP
    if [ "$input" = open ]; then
        cat <&4 2>/dev/null &
        reader=$!
        wait "$reader"
    fi
    exec >/dev/null
    # The rest of what nobody wants, or, without any input, all of it.
    cat <&4 2>/dev/null &
    reader=$!
    wait "$reader"
    reader=
    pause=0.2
    while [ "$input" = open ]; do
        # (Beside, so that a TERM ends it at once.)
        sleep "$pause" 2>/dev/null &
        reader=$!
        wait "$reader" || sleep 1
        pause=5
        printf '%s:n 0\n' "$token" 2>/dev/null >&2 || break
    done
    kill -TERM "$$" 2>/dev/null
}
