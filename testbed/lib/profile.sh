# shellcheck shell=bash disable=SC2034,SC2154 # all parts share the variables of the driver
# The profiles: which Debian (and so which Slurm), and which parts of cluster/slurm make its slurm.conf.

profiles="fast site no-accounting old"

profile_suite() {
    case $1 in
        old) echo bookworm ;;
        *) echo trixie ;;
    esac
}

profile_parts() {
    case $1 in
        fast | old) echo "common accounting quick forgetful" ;;
        site) echo "common accounting" ;;
        no-accounting) echo "common quick" ;;
        *) die "there is no profile $1; profiles: $profiles" ;;
    esac
}
