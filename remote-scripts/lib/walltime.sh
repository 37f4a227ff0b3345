# Sourced by pod/supervisor when the batch system tells the job to end: whether that is because its time is over.
# shellcheck shell=sh disable=SC2034,SC2154 # the supervisor's variables

# at_walltime: true if the job's time is over, or so nearly that this is the warning of it. Sets $walltime, seconds.
# What the batch system says in $job_times counts: when the job has begun and when it has to end. One that says nothing of
# it (Slurm before 22.05) gives what it was asked for, in whole minutes. (Slurm's warning may come a minute early.)
at_walltime() {
    walltime='' warned_s=0 job_begun=${job_times% *} job_ends=${job_times#* }
    while IFS= read -r line; do
        case $line in
            walltime_s=*) walltime=${line#*=} ;;
            signal_s=*) warned_s=${line#*=} ;;
        esac
    done <request
    if is_number "$job_begun" && is_number "$job_ends"; then
        walltime=$((job_ends - job_begun))
    elif [ "$job_times" ] && is_number "$walltime"; then
        walltime=$(((walltime + 59) / 60 * 60)) job_begun=$supervised
    else
        return 1
    fi
    is_number "$warned_s" || warned_s=0
    tick
    [ "$now" -ge $((job_begun + walltime - warned_s - 60)) ]
}
