# Sourced by batch/slurm/*.
# shellcheck shell=sh

# bounded SECONDS COMMAND…: Slurm's commands wait for their daemons for as long as those like.
bounded() {
    if command -v timeout >/dev/null; then timeout "$@"; else
        shift
        "$@"
    fi
}

# options COMMAND ARGUMENT…: calls COMMAND with the arguments and the options for what $p_… (a pod's request) asks for.
options() {
    [ -z "$p_partition" ] || set -- "$@" "--partition=$p_partition"
    [ -z "$p_account" ] || set -- "$@" "--account=$p_account"
    [ -z "$p_qos" ] || set -- "$@" "--qos=$p_qos"
    [ -z "$p_constraint" ] || set -- "$@" "--constraint=$p_constraint"
    [ -z "$p_reservation" ] || set -- "$@" "--reservation=$p_reservation"
    set -- "$@" "--nodes=${p_nodes:-1}"
    tasks=${p_tasks:-${p_nodes:-1}}
    if [ "${p_nodes:-0}" = 0 ] || [ $((tasks % p_nodes)) = 0 ]; then
        set -- "$@" "--ntasks-per-node=$((tasks / ${p_nodes:-1}))"
    else
        set -- "$@" "--ntasks=$tasks"
    fi
    [ -z "$p_cpus" ] || set -- "$@" "--cpus-per-task=$p_cpus"
    [ -z "$p_memory_mb" ] || set -- "$@" "--mem=${p_memory_mb}M"
    gres=$p_gres
    if [ -n "$p_gpus" ] && [ "$p_gpus" != 0 ]; then gres=gpu:${p_gpu_type:+$p_gpu_type:}$p_gpus${p_gres:+,$p_gres}; fi
    [ -z "$gres" ] || set -- "$@" "--gres=$gres"
    [ -z "$p_dependency" ] || set -- "$@" "--dependency=$p_dependency"
    [ -z "$p_licenses" ] || set -- "$@" "--licenses=$p_licenses"
    [ -z "$p_mail_user" ] || set -- "$@" "--mail-user=$p_mail_user"
    [ -z "$p_mail_type" ] || set -- "$@" "--mail-type=$p_mail_type"
    [ -z "$p_comment" ] || set -- "$@" "--comment=$p_comment"
    [ "$p_exclusive" != 1 ] || set -- "$@" --exclusive
    # Slurm counts in minutes and rounds up.
    [ -z "$p_walltime_s" ] || set -- "$@" "--time=$(((p_walltime_s + 59) / 60))"
    [ -z "$p_signal_s" ] || set -- "$@" "--signal=B:TERM@$p_signal_s"
    "$@"
}

# request FILE: reads and checks a request. What is wrong with it is said on standard error.
request() {
    pairs "$1" job_name partition account qos constraint reservation nodes tasks cpus memory_mb gpus gpu_type gres dependency \
        licenses mail_user mail_type exclusive comment mpi walltime_s signal_s || return
    for value in "$p_partition" "$p_account" "$p_qos" "$p_constraint" "$p_reservation" "$p_gpu_type" "$p_gres" "$p_dependency" \
        "$p_licenses" "$p_mail_user" "$p_mail_type" "$p_comment" "$p_mpi"; do
        case $value in
            -* | *[!A-Za-z0-9_.,:@+/=\&\|\(\)*-]*)
                printf 'the request has a value that is not allowed: %s\n' "$value" >&2
                return 1
                ;;
        esac
    done
    for value in "$p_nodes" "$p_tasks" "$p_cpus" "$p_memory_mb" "$p_gpus" "$p_exclusive" "$p_walltime_s" "$p_signal_s"; do
        [ -z "$value" ] || { is_number "$value" && [ "${#value}" -le 12 ]; } || {
            printf 'the request has a value that is no number: %s\n' "$value" >&2
            return 1
        }
    done
}

# flags_fit WORD…: they are options of sbatch, each one a word. What is wrong is said on standard error.
flags_fit() {
    for value in "$@"; do
        case $value in
            --[!a-z]* | --*[!A-Za-z0-9_.,:@+/=\&\|\(\)*-]*) ;;
            --?*) continue ;;
        esac
        printf 'the request has a flag that is not allowed: %s\n' "$value" >&2
        return 1
    done
}

# sbatch_for COMMAND SCRIPTS ROOT AGENT UID POD_DIR: calls COMMAND with the words that submit the pod's job.
# env -i: the job gets the environment given here, whoever calls (--export=NONE would start a login shell on the node).
sbatch_for() {
    request "$6/request" && with_words "$6/flags" flags_fit || return
    submit_with=$1 job_scripts=$2 job_root=$3 job_agent=$4 job_uid=$5 job_flags=$6/flags
    options with_job env -i "PATH=$PATH" "HOME=${HOME-/}" "USER=${USER-}" "LOGNAME=${LOGNAME-}" SHELL=/bin/sh \
        ${SLURM_CONF:+"SLURM_CONF=$SLURM_CONF"} ${TOWLINE_SH:+"TOWLINE_SH=$TOWLINE_SH"} \
        sbatch --parsable --export=ALL --no-requeue "--job-name=towline-$4-$5" --chdir=/ \
        "--output=$3/agents/$4/pods/$5/supervisor.log" --open-mode=append
}
with_job() { with_words "$job_flags" with_flags "$@"; }
with_flags() {
    "$submit_with" "$@" "$job_scripts/batch/slurm/job" "$job_scripts" "$job_root" "$job_agent" "$job_uid"
}

# jobs_of USER: all of the account's jobs that the queue knows, one a line: ID NAME STATE START END HOST REASON (0x1F between).
jobs_of() {
    SLURM_TIME_FORMAT=%s bounded 60 squeue -h -r -t all -u "$1" -o "%i$US%j$US%T$US%S$US%e$US%B$US%r"
}
