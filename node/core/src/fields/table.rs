//! The table of decisions: each field of a pod, and what becomes of it on a cluster.
//!
//! It decides at run time and it is `docs/pods.md`. Paths are those of the API below `spec`; `[]` stands for the elements
//! of a list, `*` for the keys of a map, a trailing `.**` for everything below. What stands below `containers[]` and
//! `initContainers[]` is written once, below `container`. A field that is not in the table is refused.

use super::life;

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is honoured.
    Honoured,
    /// Some of its values are honoured; the others are refused where the pod is translated, with a reason.
    InPart,
    /// Only these texts are accepted.
    Only(&'static [&'static str]),
    /// It is refused, unless it asks for nothing (`false`, an empty text, list or map).
    Refused,
    /// It is accepted, and there is nothing here that it could change.
    Meaningless,
}

/// One decision.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The path.
    pub path: &'static str,
    /// What becomes of it.
    pub decision: Decision,
    /// How it is honoured, why it is refused, why it means nothing.
    pub why: &'static str,
    /// The case of the end-to-end suite that shows it; empty: there is none.
    pub test: &'static str,
}

pub(super) const fn row(path: &'static str, decision: Decision, why: &'static str, test: &'static str) -> Row {
    Row {
        path,
        decision,
        why,
        test,
    }
}

pub(super) const fn honoured(path: &'static str, why: &'static str, test: &'static str) -> Row {
    row(path, Decision::Honoured, why, test)
}

const fn only(path: &'static str, values: &'static [&'static str], why: &'static str, test: &'static str) -> Row {
    row(path, Decision::Only(values), why, test)
}

pub(super) const fn refused(path: &'static str, why: &'static str) -> Row {
    row(path, Decision::Refused, why, "")
}

const fn meaningless(path: &'static str, why: &'static str) -> Row {
    row(path, Decision::Meaningless, why, "")
}

const SCHEDULER: &str = "the scheduler's business before the pod comes here";
const API_SERVER: &str = "the API server's business before the pod comes here";
pub(super) const KERNEL: &str = "an ordinary account of a cluster may not change it";
const WINDOWS: &str = "compute nodes run Linux";
const DISK: &str = "a disk of a cloud cannot be attached to a compute node";
const NETWORK_DISK: &str = "an ordinary account may not mount it; name the path at which the cluster has it";
const USER: &str = "the container sees itself as that number; on the node, and for files, it is the account (`policy.users`). \
                    Where the node has no user namespaces, the container sees the account's own number";
const RUN_GROUP: &str =
    "as runAsUser, beside a user that is a number; root's and the account's group stay what they are";
const FS_GROUP: &str = "each file of the pod's volumes has the account's group, which a user that is a number sees as runAsGroup, else \
                        as this one";
const GROUPS: &str = "the account's groups stand for them, which open every file of the pod's volumes (`policy.users`)";
const MODE: &str = "the files have it";

/// Fields of the pod.
pub const POD: &[Row] = &[
    honoured(
        "containers",
        "each is a container of the pod's one job",
        "several_containers_and_init",
    ),
    honoured(
        "initContainers",
        "one after the other, before the others",
        "several_containers_and_init",
    ),
    honoured(
        "ephemeralContainers",
        "each is added to the job that waits or runs (`kubectl debug`), with the fields of other containers",
        "debug_a_pod_that_runs",
    ),
    row(
        "ephemeralContainers[].targetContainerName",
        Decision::InPart,
        "it sees the processes of a target that is root inside; beside one that is not, it does not start, and says so",
        "a_debugger_sees_its_target",
    ),
    honoured("restartPolicy", "inside the job, with the kubelet's pauses", "restarts"),
    honoured("terminationGracePeriodSeconds", "TERM, then KILL", "graces_of_pods"),
    honoured(
        "activeDeadlineSeconds",
        "counted inside the job, which asks for as much walltime, as far as its partition allows; one that is set or made shorter while the pod runs ends it as well",
        "a_deadline_that_comes_later",
    ),
    honoured(
        "hostname",
        "what the containers see as their host's name",
        "names_of_hosts",
    ),
    honoured(
        "subdomain",
        "a part of the full name; the DNS record is the control plane's business",
        "names_of_hosts",
    ),
    honoured(
        "setHostnameAsFQDN",
        "with `policy.clusterDomain`; a name of more than 64 characters never starts",
        "names_of_hosts",
    ),
    honoured("hostnameOverride", "before all others", "a_claim_for_the_pod"),
    honoured(
        "hostAliases[].ip",
        "lines after those of the compute node's `/etc/hosts`",
        "names_of_hosts",
    ),
    honoured(
        "hostAliases[].hostnames[]",
        "lines after those of the compute node's `/etc/hosts`",
        "names_of_hosts",
    ),
    only(
        "dnsPolicy",
        &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"],
        "`None`: dnsConfig alone; else the compute node's resolver, for that of the Kubernetes cluster is not reachable from there",
        "names_of_hosts",
    ),
    honoured(
        "dnsConfig.nameservers[]",
        "after the compute node's, or alone",
        "names_addresses_and_statuses",
    ),
    honoured(
        "dnsConfig.searches[]",
        "after the compute node's, or alone",
        "names_of_hosts",
    ),
    honoured(
        "dnsConfig.options[].name",
        "after the compute node's, or alone",
        "names_of_hosts",
    ),
    honoured(
        "dnsConfig.options[].value",
        "after the compute node's, or alone",
        "names_of_hosts",
    ),
    honoured(
        "enableServiceLinks",
        "variables of the services of the namespace",
        "where_values_come_from",
    ),
    honoured(
        "hostNetwork",
        "a pod's network is its compute node's in any case",
        "names_addresses_and_statuses",
    ),
    refused("hostPID", "the pod would see processes of others on the compute node"),
    refused(
        "hostIPC",
        "the pod would see shared memory of others on the compute node",
    ),
    honoured(
        "hostUsers",
        "no pod ever has more rights on the compute node than the account",
        "protected_as_far_as_it_goes",
    ),
    honoured(
        "shareProcessNamespace",
        "by user namespaces of the compute node; without any there, the pod fails and says so",
        "containers_share_their_processes",
    ),
    honoured(
        "imagePullSecrets[].name",
        "for the image's registry; a secret that is not there is passed over",
        "image_pull_secrets",
    ),
    row(
        "runtimeClassName",
        Decision::InPart,
        "those of `policy.runtimeClasses`",
        "runtime_classes",
    ),
    honoured("nodeName", SCHEDULER, "by_the_scheduler"),
    honoured(
        "nodeSelector.*",
        "checked once more before the pod is submitted",
        "by_the_scheduler",
    ),
    honoured("affinity.**", SCHEDULER, "by_the_scheduler"),
    honoured(
        "tolerations.**",
        "NoExecute taints are checked once more before the pod is submitted",
        "by_the_scheduler",
    ),
    honoured("topologySpreadConstraints.**", SCHEDULER, "by_the_scheduler"),
    honoured("schedulerName", SCHEDULER, "by_the_scheduler"),
    honoured("schedulingGates.**", SCHEDULER, "by_the_scheduler"),
    refused(
        "schedulingGroup.**",
        "nothing would start the jobs of a group at the same time",
    ),
    honoured("priority", SCHEDULER, "by_the_scheduler"),
    honoured("priorityClassName", SCHEDULER, "by_the_scheduler"),
    honoured("preemptionPolicy", SCHEDULER, "by_the_scheduler"),
    honoured(
        "serviceAccountName",
        "its tokens are in the volumes that ask for them",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "serviceAccount",
        "the old name of serviceAccountName",
        "by_the_scheduler",
    ),
    honoured(
        "automountServiceAccountToken",
        API_SERVER,
        "names_addresses_and_statuses",
    ),
    honoured("overhead.*", "added to what the job asks for", "runtime_classes"),
    honoured(
        "readinessGates.**",
        "conditions of others are kept, and the pod is ready when they hold",
        "readiness_gates",
    ),
    only("os.name", &["linux"], WINDOWS, "protected_as_far_as_it_goes"),
    honoured(
        "resources.limits.*",
        "in place of the sum over the containers",
        "resources_of_the_pod",
    ),
    honoured(
        "resources.requests.*",
        "in place of the sum over the containers",
        "resources_of_the_pod",
    ),
    refused(
        "resources.claims.**",
        "no driver of dynamic resources runs on a compute node",
    ),
    refused(
        "resourceClaims.**",
        "no driver of dynamic resources runs on a compute node",
    ),
    row(
        "securityContext.runAsUser",
        Decision::InPart,
        USER,
        "security_as_charts_ask_for_it",
    ),
    row(
        "securityContext.runAsGroup",
        Decision::InPart,
        RUN_GROUP,
        "security_as_charts_ask_for_it",
    ),
    honoured(
        "securityContext.runAsNonRoot",
        "the processes see themselves as the account",
        "security_as_charts_ask_for_it",
    ),
    row(
        "securityContext.fsGroup",
        Decision::InPart,
        FS_GROUP,
        "security_as_charts_ask_for_it",
    ),
    row(
        "securityContext.supplementalGroups[]",
        Decision::InPart,
        GROUPS,
        "security_as_charts_ask_for_it",
    ),
    only(
        "securityContext.supplementalGroupsPolicy",
        &["Merge"],
        "the account's groups cannot be taken away",
        "protected_as_far_as_it_goes",
    ),
    meaningless("securityContext.fsGroupChangePolicy", "no file's group is ever changed"),
    only(
        "securityContext.seccompProfile.type",
        &["RuntimeDefault", "Unconfined"],
        "the account may do no more than any user of the compute node",
        "protected_as_far_as_it_goes",
    ),
    refused("securityContext.seccompProfile.localhostProfile", KERNEL),
    only(
        "securityContext.appArmorProfile.type",
        &["RuntimeDefault", "Unconfined"],
        "the account may do no more than any user of the compute node",
        "protected_as_far_as_it_goes",
    ),
    refused("securityContext.appArmorProfile.localhostProfile", KERNEL),
    only(
        "securityContext.seLinuxOptions.level",
        &["s0"],
        "the level of every process to which nobody gives another one",
        "what_conformance_asks_for",
    ),
    refused("securityContext.seLinuxOptions.role", KERNEL),
    refused("securityContext.seLinuxOptions.type", KERNEL),
    refused("securityContext.seLinuxOptions.user", KERNEL),
    meaningless("securityContext.seLinuxChangePolicy", "no file's label is ever changed"),
    refused("securityContext.sysctls.**", KERNEL),
    refused("securityContext.windowsOptions.**", WINDOWS),
];

/// All that is about a container.
pub const CONTAINERS: &[&[Row]] = &[
    CONTAINER,
    life::LIFECYCLE,
    life::STARTUP,
    life::LIVENESS,
    life::READINESS,
];

/// Fields of a container.
pub const CONTAINER: &[Row] = &[
    honoured("name", "the names of its files and of its log", "one_container"),
    honoured(
        "image",
        "qualified as Docker does, rewritten by `images.rewrites`",
        "one_container",
    ),
    honoured(
        "imagePullPolicy",
        "against the images that the account has on the cluster",
        "pull_policies",
    ),
    honoured("command[]", "byte for byte, `$(VAR)` expanded", "bytes_arrive"),
    honoured("args[]", "byte for byte, `$(VAR)` expanded", "bytes_arrive"),
    honoured("workingDir", "else the image's", "what_a_pod_knows_of_itself"),
    honoured(
        "env[].name",
        "every name but those with a `=` or a character that cannot be seen",
        "bytes_arrive",
    ),
    honoured("env[].value", "byte for byte, `$(VAR)` expanded", "bytes_arrive"),
    honoured(
        "env[].valueFrom.configMapKeyRef.name",
        "waited for if it is missing",
        "config_maps_and_secrets",
    ),
    honoured(
        "env[].valueFrom.configMapKeyRef.key",
        "waited for if it is missing",
        "what_is_missing_is_waited_for",
    ),
    honoured(
        "env[].valueFrom.configMapKeyRef.optional",
        "then it may be missing",
        "where_values_come_from",
    ),
    honoured(
        "env[].valueFrom.secretKeyRef.name",
        "waited for if it is missing",
        "config_maps_and_secrets",
    ),
    honoured(
        "env[].valueFrom.secretKeyRef.key",
        "waited for if it is missing",
        "config_maps_and_secrets",
    ),
    honoured(
        "env[].valueFrom.secretKeyRef.optional",
        "then it may be missing",
        "where_values_come_from",
    ),
    honoured(
        "env[].valueFrom.fieldRef.fieldPath",
        "all of them; the pod's address and its host's are both that of the compute node, put in there when the job begins",
        "what_a_pod_knows_of_itself",
    ),
    meaningless("env[].valueFrom.fieldRef.apiVersion", "there is one version"),
    honoured(
        "env[].valueFrom.resourceFieldRef.containerName",
        "of this pod",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "env[].valueFrom.resourceFieldRef.resource",
        "rounded up; without a limit what was asked for, without either what the whole pod gets",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "env[].valueFrom.resourceFieldRef.divisor",
        "rounded up",
        "what_a_pod_knows_of_itself",
    ),
    refused(
        "env[].valueFrom.fileKeyRef.**",
        "a file of a volume cannot be read before the pod runs",
    ),
    honoured("envFrom[].prefix", "before each name", "config_maps_and_secrets"),
    honoured(
        "envFrom[].configMapRef.name",
        "waited for if it is missing",
        "config_maps_and_secrets",
    ),
    honoured(
        "envFrom[].configMapRef.optional",
        "then it may be missing",
        "where_values_come_from",
    ),
    honoured(
        "envFrom[].secretRef.name",
        "waited for if it is missing",
        "where_values_come_from",
    ),
    honoured(
        "envFrom[].secretRef.optional",
        "then it may be missing",
        "where_values_come_from",
    ),
    honoured(
        "resources.limits.*",
        "the job asks for them, summed over the containers",
        "resources_of_containers",
    ),
    honoured(
        "resources.requests.*",
        "where there is no limit",
        "resources_of_containers",
    ),
    refused(
        "resources.claims.**",
        "no driver of dynamic resources runs on a compute node",
    ),
    meaningless(
        "resizePolicy[].resourceName",
        "a job keeps the size that it was given: a resize is never begun",
    ),
    meaningless(
        "resizePolicy[].restartPolicy",
        "a job keeps the size that it was given: a resize is never begun",
    ),
    honoured("volumeMounts[].name", "a volume of the pod", "config_maps_and_secrets"),
    honoured(
        "volumeMounts[].mountPath",
        "absolute, not `/`, without `: , \\ \"`",
        "config_maps_and_secrets",
    ),
    honoured(
        "volumeMounts[].readOnly",
        "what comes from the API is read-only in any case",
        "where_values_come_from",
    ),
    only(
        "volumeMounts[].recursiveReadOnly",
        &["Disabled", "IfPossible"],
        "there are no mounts below a volume",
        "protected_as_far_as_it_goes",
    ),
    honoured(
        "volumeMounts[].subPath",
        "made if it is missing; no link may lead out of the volume",
        "sub_paths",
    ),
    honoured(
        "volumeMounts[].subPathExpr",
        "waits if a variable is not set, or leads out of the volume",
        "sub_paths",
    ),
    only(
        "volumeMounts[].mountPropagation",
        &["None"],
        KERNEL,
        "protected_as_far_as_it_goes",
    ),
    refused("volumeDevices.**", "an ordinary account has no block devices"),
    honoured(
        "ports[].name",
        "information, as on a kubelet",
        "protected_as_far_as_it_goes",
    ),
    honoured(
        "ports[].containerPort",
        "information, as on a kubelet: the port is the compute node's",
        "protected_as_far_as_it_goes",
    ),
    honoured(
        "ports[].protocol",
        "information, as on a kubelet",
        "protected_as_far_as_it_goes",
    ),
    row(
        "ports[].hostPort",
        Decision::InPart,
        "equal to containerPort: the port is the compute node's anyway; two pods on one node may want the same (`towline.dev/exclusive`)",
        "ports_of_the_node",
    ),
    only(
        "ports[].hostIP",
        &["0.0.0.0", "::"],
        "a container listens where it likes",
        "protected_as_far_as_it_goes",
    ),
    honoured(
        "restartPolicy",
        "an init container with `Always` is a sidecar: it runs beside what comes after it, is ended last and holds nothing open; else in place of the pod's",
        "sidecars",
    ),
    only(
        "restartPolicyRules[].action",
        &["Restart"],
        "a container is restarted by itself, not with all others",
        "restart_rules",
    ),
    honoured(
        "restartPolicyRules[].exitCodes.operator",
        "before restartPolicy",
        "restart_rules",
    ),
    honoured(
        "restartPolicyRules[].exitCodes.values[]",
        "before restartPolicy",
        "restart_rules",
    ),
    honoured("stdin", "a pipe; `kubectl attach -i` reaches it", "attach_with_input"),
    honoured("stdinOnce", "ends with the first who attaches", "attach_with_input"),
    honoured(
        "tty",
        "made by `script` of the compute node, which has to have that",
        "attach_with_a_terminal",
    ),
    honoured(
        "terminationMessagePath",
        "the file that the report reads is mounted there",
        "termination_message",
    ),
    honoured(
        "terminationMessagePolicy",
        "`FallbackToLogsOnError`: the last 80 lines of the log, 2,048 bytes at most",
        "termination_message_from_the_log",
    ),
    honoured(
        "securityContext.readOnlyRootFilesystem",
        "the image without anything over it",
        "protected_as_far_as_it_goes",
    ),
    refused("securityContext.privileged", KERNEL),
    honoured(
        "securityContext.allowPrivilegeEscalation",
        "no container can get more rights on the compute node than the account has",
        "protected_as_far_as_it_goes",
    ),
    only(
        "securityContext.capabilities.add[]",
        &[
            "CHOWN",
            "DAC_OVERRIDE",
            "FOWNER",
            "FSETID",
            "KILL",
            "SETGID",
            "SETUID",
            "SETPCAP",
            "SYS_CHROOT",
            "SYS_PTRACE",
        ],
        "root inside has those over what is the account's; more an ordinary account cannot have",
        "capabilities",
    ),
    honoured(
        "securityContext.capabilities.drop[]",
        "root inside loses them; the account, and whoever is not root inside, has none anyway",
        "capabilities",
    ),
    row(
        "securityContext.runAsUser",
        Decision::InPart,
        USER,
        "security_as_charts_ask_for_it",
    ),
    row(
        "securityContext.runAsGroup",
        Decision::InPart,
        RUN_GROUP,
        "security_as_charts_ask_for_it",
    ),
    honoured(
        "securityContext.runAsNonRoot",
        "the processes see themselves as the account",
        "security_as_charts_ask_for_it",
    ),
    only(
        "securityContext.seccompProfile.type",
        &["RuntimeDefault", "Unconfined"],
        "the account may do no more than any user of the compute node",
        "protected_as_far_as_it_goes",
    ),
    refused("securityContext.seccompProfile.localhostProfile", KERNEL),
    only(
        "securityContext.appArmorProfile.type",
        &["RuntimeDefault", "Unconfined"],
        "the account may do no more than any user of the compute node",
        "protected_as_far_as_it_goes",
    ),
    refused("securityContext.appArmorProfile.localhostProfile", KERNEL),
    only(
        "securityContext.seLinuxOptions.level",
        &["s0"],
        "the level of every process to which nobody gives another one",
        "what_conformance_asks_for",
    ),
    refused("securityContext.seLinuxOptions.role", KERNEL),
    refused("securityContext.seLinuxOptions.type", KERNEL),
    refused("securityContext.seLinuxOptions.user", KERNEL),
    only(
        "securityContext.procMount",
        &["Default"],
        KERNEL,
        "protected_as_far_as_it_goes",
    ),
    refused("securityContext.windowsOptions.**", WINDOWS),
];

/// Sources of volumes.
pub const VOLUMES: &[Row] = &[
    honoured("volumes[].name", "a directory of the pod's", "config_maps_and_secrets"),
    honoured(
        "volumes[].configMap.name",
        "waited for if it is missing",
        "config_maps_and_secrets",
    ),
    honoured(
        "volumes[].configMap.optional",
        "then the volume is empty",
        "changes_reach_running_pods",
    ),
    honoured("volumes[].configMap.defaultMode", MODE, "where_values_come_from"),
    honoured(
        "volumes[].configMap.items[].key",
        "waited for if it is missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].configMap.items[].path",
        "below the mount, never out of it",
        "where_values_come_from",
    ),
    honoured("volumes[].configMap.items[].mode", MODE, "where_values_come_from"),
    honoured(
        "volumes[].secret.secretName",
        "waited for if it is missing",
        "config_maps_and_secrets",
    ),
    honoured(
        "volumes[].secret.optional",
        "then the volume is empty",
        "where_values_come_from",
    ),
    honoured("volumes[].secret.defaultMode", MODE, "config_maps_and_secrets"),
    honoured(
        "volumes[].secret.items[].key",
        "waited for if it is missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].secret.items[].path",
        "below the mount, never out of it",
        "where_values_come_from",
    ),
    honoured("volumes[].secret.items[].mode", MODE, "where_values_come_from"),
    honoured("volumes[].downwardAPI.defaultMode", MODE, "what_a_pod_knows_of_itself"),
    honoured(
        "volumes[].downwardAPI.items[].path",
        "below the mount, never out of it",
        "what_a_pod_knows_of_itself",
    ),
    honoured("volumes[].downwardAPI.items[].mode", MODE, "what_a_pod_knows_of_itself"),
    honoured(
        "volumes[].downwardAPI.items[].fieldRef.fieldPath",
        "as in a variable",
        "changes_reach_running_pods",
    ),
    meaningless(
        "volumes[].downwardAPI.items[].fieldRef.apiVersion",
        "there is one version",
    ),
    honoured(
        "volumes[].downwardAPI.items[].resourceFieldRef.containerName",
        "of this pod",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].downwardAPI.items[].resourceFieldRef.resource",
        "as in a variable",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].downwardAPI.items[].resourceFieldRef.divisor",
        "rounded up",
        "what_a_pod_knows_of_itself",
    ),
    honoured("volumes[].projected.defaultMode", MODE, "what_a_pod_knows_of_itself"),
    honoured(
        "volumes[].projected.sources[].configMap.name",
        "waited for if it is missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].configMap.optional",
        "then it may be missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].configMap.items[].key",
        "waited for if it is missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].configMap.items[].path",
        "below the mount, never out of it",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].configMap.items[].mode",
        MODE,
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].secret.name",
        "waited for if it is missing",
        "changes_reach_running_pods",
    ),
    honoured(
        "volumes[].projected.sources[].secret.optional",
        "then it may be missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].secret.items[].key",
        "waited for if it is missing",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].secret.items[].path",
        "below the mount, never out of it",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].secret.items[].mode",
        MODE,
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].downwardAPI.items[].path",
        "below the mount, never out of it",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].projected.sources[].downwardAPI.items[].mode",
        MODE,
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].projected.sources[].downwardAPI.items[].fieldRef.fieldPath",
        "as in a variable",
        "what_a_pod_knows_of_itself",
    ),
    meaningless(
        "volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion",
        "there is one version",
    ),
    honoured(
        "volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.containerName",
        "of this pod",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.resource",
        "as in a variable",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.divisor",
        "rounded up",
        "what_a_pod_knows_of_itself",
    ),
    honoured(
        "volumes[].projected.sources[].serviceAccountToken.path",
        "below the mount, never out of it",
        "where_values_come_from",
    ),
    honoured(
        "volumes[].projected.sources[].serviceAccountToken.audience",
        "the API server's own without it",
        "tokens_are_renewed",
    ),
    honoured(
        "volumes[].projected.sources[].serviceAccountToken.expirationSeconds",
        "bound to the pod; replaced at four fifths of it, and each day, while the pod waits and runs",
        "tokens_are_renewed",
    ),
    refused(
        "volumes[].projected.sources[].clusterTrustBundle.**",
        "trust bundles are not read yet",
    ),
    refused(
        "volumes[].projected.sources[].podCertificate.**",
        "certificates for pods are not asked for yet",
    ),
    only(
        "volumes[].emptyDir.medium",
        &["", "Memory"],
        "`Memory`: in the compute node's `/dev/shm`, and what is in it counts for the job's memory; each node of a job has its own, \
         those beyond the first while ranks run there",
        "emptydirs_in_memory",
    ),
    honoured(
        "volumes[].emptyDir.sizeLimit",
        "measured once a minute inside the job; a pod that is over it is evicted",
        "limits_of_what_a_pod_may_fill",
    ),
    row(
        "volumes[].hostPath.path",
        Decision::InPart,
        "in the directories of `policy.hostPaths`, none by default; no link may lead out of them",
        "host_paths",
    ),
    row(
        "volumes[].hostPath.type",
        Decision::InPart,
        "Directory, DirectoryOrCreate, File, Socket",
        "host_paths",
    ),
    row(
        "volumes[].persistentVolumeClaim.claimName",
        Decision::InPart,
        "waited for until it is bound to a volume for which `policy.volumes` knows a path: hostPath, local, nfs, csi",
        "persistent_volumes",
    ),
    honoured(
        "volumes[].persistentVolumeClaim.readOnly",
        "as asked for",
        "persistent_volumes",
    ),
    honoured(
        "volumes[].ephemeral.**",
        "as the claim that the control plane makes for the pod",
        "a_claim_for_the_pod",
    ),
    refused(
        "volumes[].nfs.**",
        "use a PersistentVolume, which the site's rules can be about",
    ),
    refused(
        "volumes[].image.**",
        "an image is not mounted beside the container's own yet",
    ),
    refused("volumes[].csi.**", "no CSI driver runs on a compute node"),
    refused("volumes[].awsElasticBlockStore.**", DISK),
    refused("volumes[].azureDisk.**", DISK),
    refused("volumes[].azureFile.**", NETWORK_DISK),
    refused("volumes[].cephfs.**", NETWORK_DISK),
    refused("volumes[].cinder.**", DISK),
    refused("volumes[].fc.**", DISK),
    refused("volumes[].flexVolume.**", "no driver of volumes runs on a compute node"),
    refused("volumes[].flocker.**", DISK),
    refused("volumes[].gcePersistentDisk.**", DISK),
    refused(
        "volumes[].gitRepo.**",
        "Kubernetes has given it up; use an init container",
    ),
    refused("volumes[].glusterfs.**", NETWORK_DISK),
    refused("volumes[].iscsi.**", DISK),
    refused("volumes[].photonPersistentDisk.**", DISK),
    refused("volumes[].portworxVolume.**", DISK),
    refused("volumes[].quobyte.**", NETWORK_DISK),
    refused("volumes[].rbd.**", DISK),
    refused("volumes[].scaleIO.**", DISK),
    refused("volumes[].storageos.**", DISK),
    refused("volumes[].vsphereVolume.**", DISK),
];
