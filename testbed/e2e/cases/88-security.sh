# shellcheck shell=bash disable=SC2154 # image, T and the functions come from run and tools.sh
# Security contexts, as the processes in the container see them.

case_capabilities() {
    pod caps <<END
containers:
  - {name: all, image: $image, command: [sh, -c, 'grep CapEff /proc/self/status; sleep 600'], securityContext: {capabilities: {drop: [ALL]}}}
  - {name: most, image: $image, command: [sh, -c, 'grep CapEff /proc/self/status; sleep 600'], securityContext: {capabilities: {drop: [ALL], add: [CHOWN, KILL]}}}
  - {name: some, image: $image, command: [sh, -c, 'chown 5 /bin/sh && echo changed || echo refused; exec sleep 600'], securityContext: {capabilities: {drop: [CHOWN]}}}
  - {name: none, image: $image, command: [sh, -c, 'chown 0 /bin/sh && echo changed || echo refused; exec sleep 600']}
  - {name: other, image: $image, command: [sh, -c, 'grep CapEff /proc/self/status; sleep 600'], securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}}
END
    until_phase caps Running
    said() { for one in all most some none other; do k logs caps -c "$one" | grep -q -e CapEff -e changed -e refused || return 1; done; }
    wait_for 60 'all containers to have said it' said
    # The bits of include/uapi/linux/capability.h: CHOWN is 0, KILL is 5.
    effective() { k logs caps -c "$1" | tr -d ' \t'; }
    same 'all dropped' CapEff:0000000000000000 "$(effective all)"
    same 'two left' CapEff:0000000000000021 "$(effective most)"
    same 'one dropped' refused "$(k logs caps -c some 2>/dev/null | tail -n 1)"
    same 'none dropped' changed "$(k logs caps -c none)"
    same 'no root' CapEff:0000000000000000 "$(effective other)"
    # A command that comes later has no more.
    same 'exec' CapEff:0000000000000021 "$(k exec caps -c most -- grep CapEff /proc/self/status | tr -d ' \t')"
}
