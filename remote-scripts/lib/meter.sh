# Sourced by pod/supervisor, for its sampler: what the pod's containers use, written into the file `usage` of the pod's
# directory. The shell itself reads it from /proc and from the job's cgroup: no process is started for it, however long a
# pod runs. The first figures are there after two seconds, the next ones at growing intervals, up to 15 s.
#
# A container is its first process with all that descend from it. Where the container has a root of its own, its first process
# is the first one that sees that, so that the runtime's own processes do not count. Processor time of children that have
# ended is in their parents' figures. Memory is that which is not backed by files (rss), and for the working set also the
# largest share of files and shared memory that one of the processes has: summing those up would count pages repeatedly.
# shellcheck shell=sh
# shellcheck source=SCRIPTDIR/first.sh
. "$scripts/lib/first.sh"
# shellcheck source=SCRIPTDIR/filled.sh
. "$scripts/lib/filled.sh"

# meter_setup: finds out what there is to be read. Without it nothing is metered.
meter_setup() {
    metered=$LF meter_in=2 meter_pause=2 meter_page='' meter_cpu='' meter_memory=''
    [ -n "$uptime" ] && [ -r "/proc/$$/task/$$/children" ] || return 0
    # Ranks run on all nodes of the job and descend from the batch system: what could be seen of them here would be a part.
    n=0 meter_ranked=' '
    while [ "$n" -lt "$count" ]; do
        n=$((n + 1))
        eval "[ -z \"\${c_ranks_$n-}\" ] || meter_ranked=\$meter_ranked\$c_name_$n' '"
    done
    while read -r meter_key meter_value _; do
        if [ "$meter_key" = KernelPageSize: ]; then
            meter_page=$((meter_value * 1024))
            break
        fi
    done 2>/dev/null </proc/self/smaps
    [ "$meter_ranked" != ' ' ] || meter_cgroups /proc/self/cgroup /sys/fs/cgroup
}

# meter_cgroups FILE ROOT: of the cgroups that FILE names, finds those of the job $job alone below ROOT, by their name (any
# other one may be the whole node's). Sets $meter_cpu and $meter_memory.
meter_cgroups() {
    while IFS=: read -r _ meter_key meter_value; do
        case $meter_value/ in
            */job_"$job"/*) meter_value=${meter_value%%/job_"$job"/*} ;;
            *) continue ;;
        esac
        meter_value=${meter_value%/job_"$job"}/job_$job
        case ,$meter_key, in
            # (Version 2: both in one; the batch system may have enabled one of them only.)
            ,,)
                [ ! -r "$2$meter_value/cpu.stat" ] || meter_cpu=$2$meter_value
                [ ! -r "$2$meter_value/memory.current" ] || meter_memory=$2$meter_value
                ;;
            *,memory,*) [ ! -r "$2/memory$meter_value/memory.stat" ] || meter_memory=$2/memory$meter_value ;;
            *,cpuacct,*) [ ! -r "$2/cpuacct$meter_value/cpuacct.usage" ] || meter_cpu=$2/cpuacct$meter_value ;;
        esac
    done 2>/dev/null <"$1"
}

# meter_job: sets $meter_row to the job's figures from its cgroup, CPU_NS␟WORKING_SET␟RSS, or to nothing.
meter_job() {
    meter_row=''
    [ -n "$meter_cpu" ] && [ -n "$meter_memory" ] || return 0
    meter_ns='' meter_used='' meter_cached='' meter_rss=''
    if [ -r "$meter_cpu/cpuacct.usage" ]; then
        read -r meter_ns <"$meter_cpu/cpuacct.usage"
    else
        while read -r meter_key meter_value; do
            if [ "$meter_key" = usage_usec ]; then
                meter_ns=$((meter_value * 1000))
                break
            fi
        done <"$meter_cpu/cpu.stat"
    fi
    if [ -r "$meter_memory/memory.current" ]; then
        read -r meter_used <"$meter_memory/memory.current"
    else
        read -r meter_used <"$meter_memory/memory.usage_in_bytes"
    fi
    while read -r meter_key meter_value; do
        case $meter_key in
            anon | total_rss) meter_rss=$meter_value ;;
            inactive_file | total_inactive_file) meter_cached=$meter_value ;;
        esac
    done <"$meter_memory/memory.stat"
    is_number "$meter_ns" && is_number "$meter_used" && is_number "$meter_rss" && is_number "$meter_cached" || return 0
    # As a kubelet defines it: all that is used, but for files that were read long ago.
    meter_used=$((meter_used > meter_cached ? meter_used - meter_cached : 0))
    meter_row=$meter_ns$US$meter_used$US$meter_rss
} 2>/dev/null

# meter_processes PID: sets $cpu_ns, $anonymous and $working_set (bytes) and $processes: it and all its descendants; and to what
# they have read from and written to disks and file servers, those that have ended included, $meter_read and $meter_written:
# to nothing if one of them may not be asked.
meter_processes() {
    queue="$1 " cpu_ns=0 anonymous=0 meter_most=0 processes=0 meter_read=0 meter_written=0
    while [ -n "$queue" ]; do
        process=${queue%% *} queue=${queue#* }
        meter_stat=''
        read -r meter_stat <"/proc/$process/stat"
        # The name, the second field, is in parentheses and may hold anything.
        meter_stat=${meter_stat##*) }
        # shellcheck disable=SC2086 # numbers
        set -- $meter_stat
        [ $# -gt 14 ] || continue
        shift 11
        processes=$((processes + 1))
        # Its own time, and that of children that it has waited for, in hundredths of a second.
        cpu_ns=$((cpu_ns + ($1 + $2 + $3 + $4) * 10000000))
        if [ "$1$2" = 00 ] && read -r meter_value _ <"/proc/$process/schedstat" && is_number "$meter_value"; then
            # One that mostly waits would seem to use nothing at all.
            [ "$meter_value" -ge 20000000 ] || cpu_ns=$((cpu_ns + meter_value))
        fi
        if read -r _ meter_value meter_shared _ <"/proc/$process/statm"; then
            anonymous=$((anonymous + (meter_value - meter_shared) * meter_page))
            meter_shared=$((meter_shared * meter_page))
            [ "$meter_shared" -le "$meter_most" ] || meter_most=$meter_shared
        fi
        [ -z "$meter_read" ] || meter_io "/proc/$process/io"
        children "$process"
    done
    working_set=$((anonymous + meter_most))
} 2>/dev/null
# meter_io FILE: adds what that process has read and written.
meter_io() {
    meter_value=''
    while read -r meter_key meter_value; do
        case $meter_key in
            read_bytes:) meter_read=$((meter_read + meter_value)) ;;
            write_bytes:)
                meter_written=$((meter_written + meter_value))
                return
                ;;
        esac
    done <"$1"
    # (One that has ended meanwhile is in its parent's figures, as its processor time is.)
    [ -z "$meter_value" ] && [ ! -e "$1" ] || meter_read='' meter_written=''
}

# meter_network PID: adds a row for each interface of the network that this process lives in, if that is not the node's.
meter_network() {
    [ -z "$meter_networked" ] && [ -e "/proc/$1/ns/net" ] || return 0
    meter_networked=1
    # shellcheck disable=SC3013 # dash, busybox and bash have -ef
    ! [ "/proc/$1/ns/net" -ef /proc/self/ns/net ] || return 0
    while IFS= read -r meter_value; do
        # (What is in front of the colon is the name; two lines of titles have none.)
        meter_key=${meter_value%%:*}
        [ "$meter_key" != "$meter_value" ] || continue
        meter_key=${meter_key##* }
        # shellcheck disable=SC2086 # numbers
        set -- ${meter_value#*:}
        [ "$meter_key" != lo ] && [ $# -ge 12 ] || continue
        line "network$US$meter_key$US$1$US$2$US$3$US$4$US$9$US${10}$US${11}$US${12}"
    done <"/proc/$1/net/dev"
} 2>/dev/null

# meter_container NAME RUN PID: adds its row, and remembers what the next one needs. A total never goes back, even if a
# process ends whose time is then in nobody's figures.
meter_container() {
    first='' meter_before=- meter_since=- meter_read_before=0 meter_written_before=0
    case $metered in
        *"$LF$1 $2 $3 "*)
            meter_known=${metered#*"$LF$1 $2 $3 "}
            meter_known=${meter_known%%"$LF"*}
            first=${meter_known%% *} meter_known=${meter_known#* }
            meter_before=${meter_known%% *} meter_known=${meter_known#* }
            meter_since=${meter_known%% *} meter_known=${meter_known#* }
            meter_read_before=${meter_known%% *} meter_written_before=${meter_known#* }
            ;;
    esac
    meter_keep=1
    # (The runtime puts few processes before it.)
    [ -n "$first" ] && [ "$first" != - ] || first_process "$3" 4 || meter_keep=
    meter_processes "$first"
    [ "$processes" -gt 0 ] || return 0
    [ "$meter_before" = - ] || [ "$cpu_ns" -ge "$meter_before" ] || cpu_ns=$meter_before
    line "container$US$1$US$2$US$cpu_ns$US$working_set$US$anonymous$US$processes$US$meter_since$US$meter_before"
    if [ -n "$meter_read" ]; then
        [ "$meter_read" -ge "$meter_read_before" ] || meter_read=$meter_read_before
        [ "$meter_written" -ge "$meter_written_before" ] || meter_written=$meter_written_before
        line "io$US$1$US$2$US$meter_read$US$meter_written"
        meter_read_before=$meter_read meter_written_before=$meter_written
    fi
    if [ -n "$meter_keep" ]; then meter_network "$first"; else first=-; fi
    meter_next="$meter_next$1 $2 $3 $first $cpu_ns $meter_time $meter_read_before $meter_written_before$LF"
}

# meter: called once a second; writes down the figures of the running containers when it is time.
meter() {
    meter_in=$((meter_in - 1))
    [ "$meter_in" -le 0 ] && [ -n "$meter_page" ] || return 0
    meter_pause=$((meter_pause < 8 ? meter_pause * 2 : 15)) meter_in=$meter_pause
    read -r uptime _ </proc/uptime
    # In milliseconds: over a few seconds, whole ones would distort what is used per second.
    meter_value=${uptime#*.}0
    meter_value=1${meter_value%"${meter_value#??}"}
    meter_time=$(((offset + ${uptime%%.*}) * 1000 + (meter_value - 100) * 10))
    text='' lines=0 meter_next=$LF meter_networked=''
    line "towline${US}1"
    line "pod$US$uid$US$meter_time"
    meter_job
    [ -z "$meter_row" ] || line "job$US$meter_row"
    meter_logs=''
    while read -r log; do meter_logs=$meter_logs$log$LF; done <run/logs
    while [ -n "$meter_logs" ]; do
        log=${meter_logs%%"$LF"*} meter_logs=${meter_logs#*"$LF"}
        name=${log#log/}
        case $meter_ranked in
            *" ${name%/*} "*) continue ;;
        esac
        # Of a container that was started again only the last run is the one that runs.
        case $LF$meter_logs in
            *"${LF}log/${name%/*}/"*) continue ;;
        esac
        meter_value=''
        read -r meter_value 2>/dev/null <"run/${name%/*}.pid"
        is_number "$meter_value" || continue
        meter_container "${name%/*}" "${name##*/}" "$meter_value"
    done
    metered=$meter_next
    [ "$metered" != "$LF" ] || return 0
    filled_rows
    # (A line that is just being written has no end, and is passed over.)
    while read -r name meter_key good bad error took within; do
        line "probe$US$name$US$meter_key$US$good$US$bad$US$error${took:+"$US$((took * 10))$US$within"}"
    done 2>/dev/null <run/probed
    { printf '%send%s%s\n' "$text" "$US" "$lines" >usage; } 2>/dev/null
}
