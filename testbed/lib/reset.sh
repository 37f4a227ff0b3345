# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# A testbed as new, in seconds: its keys, ports and images stay.

reset() {
    load_or_die
    engine_use || die "its Docker does not answer; testbed up --name $name brings it up"
    node_stop
    stop_daemon metrics-server
    rm -rf "$dir/node"
    if [ "$kubernetes" = yes ]; then controlplane_reset; fi
    cluster_reset
    say "as new"
}
