# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# The Slurm cluster: five containers of one image on a network of their own, with one shared /home.

containers="registry ctl login c1 c2"

container() { echo "towline-$name-$1"; }
network() { echo "towline-$name"; }
homes() { echo "towline-$name-home"; }

inside() { # CONTAINER COMMAND…
    local in
    in=$(container "$1")
    shift
    docker exec "$in" "$@"
}

running() { [ "$(docker inspect -f '{{.State.Running}}' "$(container "$1")" 2>/dev/null)" = true ]; }

slurm_config() {
    local part parts=()
    for part in $(profile_parts "$profile"); do parts+=("$here/cluster/slurm/$part.conf"); done
    mkdir -p "$dir/etc/slurm"
    cat "${parts[@]}" >"$dir/etc/slurm/slurm.conf"
    cp "$here"/cluster/slurm/{gres,slurmdbd}.conf "$dir/etc/slurm/"
}

# make ROLE HOSTNAME [OPTION…]: makes a container unless it is there. Its configuration is copied into it rather than
# mounted, so that it does not matter where the engine runs.
make() {
    local role=$1 host=$2
    shift 2
    if docker container inspect "$(container "$host")" >/dev/null 2>&1; then return; fi
    docker create --name "$(container "$host")" --hostname "$host" --network "$(network)" --network-alias "$host" \
        --label "towline.testbed=$name" --volume "$(homes):/home" "$@" "$image" "$role" >/dev/null
    case $role in
        registry) ;;
        login) docker cp -q "$dir/etc/." "$(container "$host"):/etc/testbed" >/dev/null ;;
        *) docker cp -q "$dir/etc/slurm" "$(container "$host"):/etc/testbed" >/dev/null ;;
    esac
}

# What an ordinary user's Apptainer needs. Not --privileged: that fails on a host which itself lacks a capability.
compute_options() {
    printf '%s\n' --cap-add=SYS_ADMIN --cap-add=SYS_PTRACE --cap-add=SYS_NICE \
        --security-opt=seccomp=unconfined --security-opt=apparmor=unconfined
    local device
    for device in /dev/fuse /dev/net/tun; do [ ! -e $device ] || echo "--device=$device"; done
}

cluster_up() {
    local options host names=()
    image_up
    keys_up
    slurm_config
    docker network inspect "$(network)" >/dev/null 2>&1 ||
        docker network create --label "towline.testbed=$name" "$(network)" >/dev/null
    docker volume create --label "towline.testbed=$name" "$(homes)" >/dev/null
    mapfile -t options < <(compute_options)
    make registry registry --publish "127.0.0.1:$(registry_port):5000"
    make ctl ctl
    make login login --publish "127.0.0.1:$(ssh_port):22"
    make compute c1 "${options[@]}"
    make compute c2 "${options[@]}"
    for host in $containers; do names+=("$(container "$host")"); done
    docker start "${names[@]}" >/dev/null
    registry_up
    wait_for 90 slurm_is_ready || die "Slurm does not come up; see: docker logs $(container ctl); sinfo says: $(inside login sinfo 2>&1 | tail -n 3)"
    wait_for 10 login_works || die "alice cannot log in: $(ssh -F "$dir/ssh/config" -o BatchMode=yes login true 2>&1 | tail -n 1)"
    runtime=$(cluster_runtime)
}

slurm_is_ready() { [ "$(inside login sinfo -h -N -p debug -t idle,mix,alloc -o %N | sort -u | wc -l)" = 2 ]; }
login_works() { ssh -F "$dir/ssh/config" -o BatchMode=yes -o ConnectTimeout=3 login true; }

# cluster_runtime: apptainer if a user can really use it on a compute node.
cluster_runtime() {
    if docker exec -u alice "$(container c1)" sh -c 'command -v apptainer && unshare -Ur true' >/dev/null 2>&1; then
        echo apptainer
        return
    fi
    echo none
    say "containers do not work on the compute nodes (pods run with the runtime none)"
    if [ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null)" = 1 ]; then
        say "this host restricts user namespaces; allow them with: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    fi
}

cluster_down() {
    local ids
    mapfile -t ids < <(docker ps -aq --filter "label=towline.testbed=$name")
    [ ${#ids[@]} = 0 ] || docker rm -f -v "${ids[@]}" >/dev/null
    docker volume rm -f "$(homes)" >/dev/null 2>&1 || true
    if docker network inspect "$(network)" >/dev/null 2>&1; then docker network rm "$(network)" >/dev/null; fi
}

# cluster_reset: no jobs, and nothing of Towline's or the jobs' on any disk.
cluster_reset() {
    local host
    # shellcheck disable=SC2016 # for the shell in the container
    inside ctl sh -c 'jobs=$(squeue -h -o %A); [ -z "$jobs" ] || { scancel --signal=KILL --full $jobs; scancel $jobs; }' >/dev/null 2>&1 || true
    wait_for 60 queue_is_empty || die "jobs do not end: $(inside ctl squeue | head -n 5)"
    inside login sh -c 'rm -rf /home/*/.towline'
    for host in login c1 c2; do
        inside "$host" find /tmp /var/tmp /dev/shm -mindepth 1 -maxdepth 1 ! -user root -exec rm -rf {} +
    done
}
queue_is_empty() { [ -z "$(inside ctl squeue -h -o %A)" ]; }
