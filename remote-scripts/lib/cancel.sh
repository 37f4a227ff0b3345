# Sourced by batch/NAME/cancel.
# shellcheck shell=sh

# check_cancel MODE UID[:GRACE_S]…
check_cancel() {
    case $1 in
        soft | hard) ;;
        *) usage "MODE is soft or hard, not: $1" ;;
    esac
    shift
    for check in "$@"; do
        is_name "${check%%:*}" || usage "not a UID: $check"
        case $check in
            *:*) is_number "${check#*:}" || usage "not a grace in seconds: $check" ;;
        esac
    done
}

# write_stop POD_DIR GRACE_S: says, before anything is signalled, that it is us who end the pod.
write_stop() {
    # shellcheck disable=SC2059
    printf 'grace_s=%s\nreason=-\n' "${2:--}" >"$1/stop.new" && mv -f -- "$1/stop.new" "$1/stop"
}
