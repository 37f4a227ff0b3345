# Sourced by container/NAME and lib/entry.sh: a server of one command in a container, so that a probe costs one process and
# not all those that it takes to get into a container.
#
# From the first export of a variable on, names belong to the pod (see `become`): what is used here begins with TOWLINE_W.
# shellcheck shell=sh disable=SC2034

# will_serve SAID NUMBER: `become` shall not become the command, but serve it. SAID: the file for what the command says;
# NUMBER: which probe of the pod it is.
will_serve() { TOWLINE_WSERVE=1 TOWLINE_WSAID=$1 TOWLINE_WNUMBER=$2; }

# serve WORD…: at each USR1 runs the command and writes `probe NUMBER EXIT CODE` to file 3; a USR2 kills the command. File 4
# is a pipe that nobody else writes into: between two signals the shell waits there. Says `probe NUMBER ready` first.
serve() {
    TOWLINE_WCHILD='' TOWLINE_WERRORS=0
    trap 'echo >&4' USR1
    trap '[ -z "$TOWLINE_WCHILD" ] || kill -KILL "$TOWLINE_WCHILD" 2>/dev/null' USR2
    echo "probe $TOWLINE_WNUMBER ready" >&3
    while :; do
        # (Interrupted by a signal, read fails; what the signal's handler wrote is read then.)
        read -r TOWLINE_WLINE <&4 || {
            TOWLINE_WERRORS=$((TOWLINE_WERRORS + 1))
            [ "$TOWLINE_WERRORS" -lt 1000 ] || exit 70
            continue
        }
        TOWLINE_WERRORS=0
        { exec "$@"; } >"$TOWLINE_WSAID" 2>&1 </dev/null 3>&- 4>&- &
        TOWLINE_WCHILD=$!
        while :; do
            wait "$TOWLINE_WCHILD"
            TOWLINE_WCODE=$?
            [ "$TOWLINE_WCODE" -gt 128 ] && kill -0 "$TOWLINE_WCHILD" 2>/dev/null || break
        done
        TOWLINE_WCHILD=''
        echo "probe $TOWLINE_WNUMBER $TOWLINE_WCODE" >&3
    done
}
