//! Every field of a pod, decided: honoured, without a meaning here, or refused.
//!
//! A pod is walked as JSON against one table. A field that is not in the table is refused by name, so nothing that a
//! user wrote is silently ignored, a field of a future API version included.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::translate::Fault;

/// Paths below `spec` that are honoured or that mean nothing on a cluster; a trailing `.**` takes everything below.
/// `[]` stands for the elements of a list. Order: pod, container, volumes.
const DECIDED: &[&str] = &[
    // Honoured.
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "hostname",
    "enableServiceLinks",
    "initContainers",
    "containers",
    "volumes[].name",
    "volumes[].configMap.**",
    "volumes[].secret.**",
    "volumes[].downwardAPI.**",
    "volumes[].projected.**",
    "volumes[].emptyDir.medium",
    // Honoured before a pod arrives here, by the scheduler, the API server or the admission of the node.
    "nodeName",
    "nodeSelector.**",
    "affinity.**",
    "tolerations.**",
    "topologySpreadConstraints.**",
    "schedulerName",
    "schedulingGates.**",
    "priority",
    "priorityClassName",
    "preemptionPolicy",
    "serviceAccountName",
    "serviceAccount",
    "automountServiceAccountToken",
    "overhead.**",
    "readinessGates.**",
    "os.**",
    // Without a meaning here: the network is the compute node's, and with it its resolver; nothing is pulled by secret yet.
    "dnsPolicy",
    "subdomain",
];

/// Paths below a container.
const CONTAINER: &[&str] = &[
    "name",
    "image",
    "imagePullPolicy",
    "command.**",
    "args.**",
    "workingDir",
    "env.**",
    "envFrom.**",
    "resources.limits.**",
    "resources.requests.**",
    "volumeMounts[].name",
    "volumeMounts[].mountPath",
    "volumeMounts[].readOnly",
    "volumeMounts[].subPath",
    "volumeMounts[].recursiveReadOnly",
    "securityContext.readOnlyRootFilesystem",
    // As on a kubelet: information, nothing is opened or closed by it. A hostPort is refused.
    "ports[].name",
    "ports[].containerPort",
    "ports[].protocol",
];

/// Fields that are accepted only with the value that means "nothing asked".
fn has_default(path: &str, value: &Value) -> bool {
    match path {
        "spec.securityContext.supplementalGroupsPolicy" => value == "Merge",
        "container.terminationMessagePath" => value == "/dev/termination-log",
        "container.terminationMessagePolicy" => value == "File",
        "container.securityContext.procMount" => value == "Default",
        // Containers never have more rights than the account that runs them: these ask for no more than that.
        "container.securityContext.allowPrivilegeEscalation" => true,
        "container.securityContext.seccompProfile.type" | "spec.securityContext.seccompProfile.type" => {
            matches!(value.as_str(), Some("RuntimeDefault" | "Unconfined"))
        }
        "container.securityContext.capabilities.drop[]" => true,
        _ => match value {
            Value::Null | Value::Bool(false) => true,
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            _ => false,
        },
    }
}

/// Checks every field of a pod's spec.
///
/// # Errors
/// A rejection that names the first field that this node cannot honour.
pub fn decide(pod: &Pod) -> Result<(), Fault> {
    let spec = serde_json::to_value(pod.spec.clone().unwrap_or_default())
        .map_err(|error| Fault::rejected("InvalidPod", format!("the pod cannot be read: {error}")))?;
    let mut refused = Vec::new();
    walk(&spec, "", "spec", DECIDED, &mut refused);
    for list in ["initContainers", "containers"] {
        for (n, container) in spec
            .get(list)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .enumerate()
        {
            let mut found = Vec::new();
            walk(container, "", "container", CONTAINER, &mut found);
            refused.extend(found.into_iter().map(|path| format!("{list}[{n}].{path}")));
        }
    }
    check_containers(&spec)?;
    match refused.first() {
        None => Ok(()),
        Some(_) => Err(Fault::rejected(
            "UnsupportedField",
            format!("this node cannot honour {}", refused.join(", ")),
        )),
    }
}

fn check_containers(spec: &Value) -> Result<(), Fault> {
    let mut names = std::collections::BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for container in spec.get(list).and_then(Value::as_array).into_iter().flatten() {
            let name = container.get("name").and_then(Value::as_str).unwrap_or_default();
            let label = (1..=63).contains(&name.len())
                && name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
            if !label {
                return Err(Fault::rejected(
                    "InvalidPod",
                    format!("{name:?} cannot be a container's name"),
                ));
            }
            if !names.insert(name.to_owned()) {
                return Err(Fault::rejected(
                    "InvalidPod",
                    format!("two containers are named {name:?}"),
                ));
            }
        }
    }
    if spec
        .get("containers")
        .and_then(Value::as_array)
        .is_none_or(Vec::is_empty)
    {
        return Err(Fault::rejected("InvalidPod", "the pod has no container"));
    }
    Ok(())
}

fn walk(value: &Value, path: &str, root: &str, table: &[&str], refused: &mut Vec<String>) {
    let decided = |path: &str| {
        table.iter().any(|entry| match entry.strip_suffix(".**") {
            Some(above) => {
                path == above || path.starts_with(&format!("{above}.")) || path.starts_with(&format!("{above}[]"))
            }
            None => *entry == path,
        })
    };
    if !path.is_empty() && has_default(&format!("{root}.{path}"), value) {
        return;
    }
    if !path.is_empty() && !decided(path) {
        match value {
            Value::Object(map) if decided_below(path, table, root) => {
                for (key, value) in map {
                    walk(value, &format!("{path}.{key}"), root, table, refused);
                }
            }
            Value::Array(list) if decided_below(path, table, root) => {
                for value in list {
                    walk(value, &format!("{path}[]"), root, table, refused);
                }
            }
            _ => refused.push(path.to_owned()),
        }
        return;
    }
    if path.is_empty() {
        for (key, value) in value.as_object().into_iter().flatten() {
            walk(value, key, root, table, refused);
        }
    }
}

/// Some field below `path` may be acceptable, so that the answer depends on what is there.
fn decided_below(path: &str, table: &[&str], root: &str) -> bool {
    const WITH_DEFAULTS: &[&str] = &[
        "spec.securityContext",
        "spec.securityContext.seccompProfile",
        "container.securityContext",
        "container.securityContext.seccompProfile",
        "container.securityContext.capabilities",
        "container.securityContext.capabilities.drop",
    ];
    WITH_DEFAULTS.contains(&format!("{root}.{path}").as_str())
        || table.iter().any(|entry| {
            entry
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.') || rest.starts_with("[]"))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn verdict(mut spec: Value) -> Result<(), String> {
        if spec.get("containers").is_none() {
            spec["containers"] = json!([{"name": "c", "image": "i"}]);
        }
        let pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        match decide(&pod) {
            Ok(()) => Ok(()),
            Err(Fault::Rejected(rejection)) => Err(rejection.message),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn container(fields: Value) -> Result<(), String> {
        let mut container = json!({"name": "c", "image": "i"});
        container
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        verdict(json!({"containers": [container]}))
    }

    #[test]
    fn what_the_api_server_adds_to_every_pod_is_fine() {
        verdict(json!({
            "containers": [{
                "name": "c", "image": "i", "imagePullPolicy": "Always", "resources": {}, "securityContext": {},
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": true}], "ports": [{"containerPort": 80, "protocol": "TCP"}]
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "nodeName": "n", "preemptionPolicy": "PreemptLowerPriority",
            "priority": 0, "restartPolicy": "Always", "schedulerName": "default-scheduler", "securityContext": {},
            "serviceAccount": "default", "serviceAccountName": "default", "terminationGracePeriodSeconds": 30,
            "tolerations": [{"effect": "NoExecute", "key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
            "hostNetwork": false,
            "volumes": [{"name": "v", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "token"}}]}}]
        }))
        .unwrap();
    }

    #[test]
    fn what_nobody_decided_about_is_refused_by_name() {
        for (spec, named) in [
            (json!({"hostNetwork": true}), "hostNetwork"),
            (json!({"hostPID": true}), "hostPID"),
            (
                json!({"securityContext": {"runAsUser": 1000}}),
                "securityContext.runAsUser",
            ),
            (json!({"runtimeClassName": "kata"}), "runtimeClassName"),
            (json!({"hostAliases": [{"ip": "1.2.3.4"}]}), "hostAliases"),
            (
                json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}),
                "volumes[].hostPath",
            ),
            (
                json!({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Gi"}}]}),
                "sizeLimit",
            ),
            (json!({"imagePullSecrets": [{"name": "s"}]}), "imagePullSecrets"),
        ] {
            let message = verdict(spec).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
        for (fields, named) in [
            (json!({"livenessProbe": {"tcpSocket": {"port": 1}}}), "livenessProbe"),
            (json!({"securityContext": {"privileged": true}}), "privileged"),
            (
                json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
                "capabilities.add",
            ),
            (
                json!({"lifecycle": {"preStop": {"exec": {"command": ["x"]}}}}),
                "lifecycle",
            ),
            (json!({"terminationMessagePath": "/x"}), "terminationMessagePath"),
            (
                json!({"terminationMessagePolicy": "FallbackToLogsOnError"}),
                "terminationMessagePolicy",
            ),
            (json!({"ports": [{"containerPort": 1, "hostPort": 1}]}), "hostPort"),
            (json!({"tty": true}), "tty"),
        ] {
            let message = container(fields).unwrap_err();
            assert!(
                message.contains(named) && message.contains("containers[0]"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_restricted_pod_asks_for_nothing_that_it_does_not_get() {
        container(json!({"securityContext": {"privileged": false, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}, "readOnlyRootFilesystem": true}}))
        .unwrap();
    }

    #[test]
    fn containers_are_told_apart_by_name() {
        let twice = json!([{"name": "c", "image": "i"}, {"name": "c", "image": "i"}]);
        assert!(
            verdict(json!({"containers": twice}))
                .unwrap_err()
                .contains("two containers")
        );
        assert!(container(json!({"name": "../x"})).is_err());
    }
}
