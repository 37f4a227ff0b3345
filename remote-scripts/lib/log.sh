# Sourced by pod/log and pod/index.
# shellcheck shell=sh

# enter_log UID CONTAINER RUN: enters the directory of the container's logs (in the agent's $dir) and sets $run to the
# run that is meant, $file to its log and $pod to the pod's directory. Ends with 66 if there is no such log.
enter_log() {
    is_name "$1" || usage "not a UID: $1"
    is_name "$2" || usage "not a container: $2"
    pod=$dir/pods/$1 run=$3
    case $run in
        -1 | -2) ;;
        *) is_number "$run" || usage "not a run: $run" ;;
    esac
    cd -- "$pod/log/$2" 2>/dev/null || {
        printf 'no such log: %s\n' "$pod/log/$2" >&2
        exit 66
    }
    # Runs are numbered without gaps: the newest is the last of them.
    newest=-1
    while [ -e "$((newest + 1)).log" ]; do newest=$((newest + 1)); done
    case $run in
        -1) run=$newest ;;
        -2) run=$((newest - 1)) ;;
    esac
    file=$run.log
    [ -e "$file" ] || {
        printf 'no such log: %s\n' "$pod/log/$2/$file" >&2
        exit 66
    }
}

size() { wc -c <"$file"; }

# over: the run has ended, or there is nobody left who would go on with it.
over() {
    [ -e "$run.end" ] || [ -e "$((run + 1)).log" ] || [ ! -e "$file" ] || {
        [ -r "$pod/report" ] && while IFS= read -r line; do
            case $line in
                "stage${US}ended$US"*) return 0 ;;
                container*) break ;;
            esac
        done <"$pod/report"
        return 1
    }
}
