//! Every field of a pod, decided: honoured, without a meaning here, or refused.
//!
//! A pod is walked as JSON against one table. A field that is not in the table is refused by name, so nothing that a
//! user wrote is silently ignored, a field of a future API version included.

use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::translate::Fault;

pub mod document;
pub mod life;
pub mod table;

#[cfg(test)]
mod paths;

use table::{CONTAINERS, Decision, POD, Row, VOLUMES};

/// Checks every field of a pod's spec.
///
/// # Errors
/// A rejection that names the first field that this node cannot honour.
pub fn decide(pod: &Pod) -> Result<(), Fault> {
    let spec = serde_json::to_value(pod.spec.clone().unwrap_or_default())
        .map_err(|error| Fault::rejected("InvalidPod", format!("the pod cannot be read: {error}")))?;
    let mut refused = Vec::new();
    for (key, value) in spec.as_object().into_iter().flatten() {
        match (key.as_str(), value.as_array()) {
            (list @ ("containers" | "initContainers"), Some(containers)) => {
                for (n, container) in containers.iter().enumerate() {
                    for (key, value) in container.as_object().into_iter().flatten() {
                        walk(value, key, CONTAINERS, &format!("{list}[{n}]."), &mut refused);
                    }
                }
            }
            _ => walk(value, key, &[POD, VOLUMES], "", &mut refused),
        }
    }
    check_containers(&spec)?;
    check_ports(pod)?;
    check_sysctls(pod)?;
    check_os(pod)?;
    match refused.first() {
        None => Ok(()),
        Some(_) => Err(Fault::rejected(
            "UnsupportedField",
            format!("this node cannot honour {}", refused.join(", ")),
        )),
    }
}

/// A port of the compute node cannot lead to another one of the container.
fn check_ports(pod: &Pod) -> Result<(), Fault> {
    let spec = pod.spec.iter();
    let containers = spec.flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()));
    for container in containers {
        for port in container.ports.iter().flatten() {
            let host = port.host_port.unwrap_or(0);
            if host != 0 && host != port.container_port {
                return Err(Fault::rejected(
                    "UnsupportedField",
                    format!(
                        "container {}: hostPort {host} is not containerPort {}, and the container's port is the compute node's own",
                        container.name, port.container_port
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// A pod for another operating system, with the kubelet's reason.
fn check_os(pod: &Pod) -> Result<(), Fault> {
    let os = pod.spec.as_ref().and_then(|spec| spec.os.as_ref());
    match os.filter(|os| os.name != "linux") {
        None => Ok(()),
        Some(os) => Err(Fault::rejected(
            "PodOSNotSupported",
            format!(
                "failed to admit pod as the OS field {:?} does not match the node's, linux",
                os.name
            ),
        )),
    }
}

/// A kubelet has a reason of its own for the settings of the kernel that it does not let pods change: here, all of them.
fn check_sysctls(pod: &Pod) -> Result<(), Fault> {
    let security = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let sysctls = security.and_then(|security| security.sysctls.as_ref());
    match sysctls.and_then(|sysctls| sysctls.first()) {
        None => Ok(()),
        Some(first) => Err(Fault::rejected(
            "SysctlForbidden",
            format!("forbidden sysctl: {:?} ({})", first.name, table::KERNEL),
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

/// Goes down until a row of the table decides. `place` is what stands before the path in a message.
fn walk(value: &Value, path: &str, tables: &[&[Row]], place: &str, refused: &mut Vec<String>) {
    if let Some(row) = decision(path, tables) {
        let accepted = match row.decision {
            Decision::Honoured | Decision::InPart | Decision::Meaningless => true,
            Decision::Only(values) => {
                asks_for_nothing(value) || value.as_str().is_some_and(|text| values.contains(&text))
            }
            Decision::Refused => asks_for_nothing(value),
        };
        if !accepted {
            refused.push(format!("{place}{path} ({})", why(row, value)));
        }
        return;
    }
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let name = if has_free_keys(path, tables) { "*" } else { key.as_str() };
                walk(value, &format!("{path}.{name}"), tables, place, refused);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                walk(value, &format!("{path}[]"), tables, place, refused);
            }
        }
        _ if asks_for_nothing(value) => {}
        _ => refused.push(format!("{place}{path} (it is not known)")),
    }
}

fn why(row: &Row, value: &Value) -> String {
    match (row.decision, value.as_str()) {
        (Decision::Only(_), Some(text)) => format!("{text}: {}", row.why),
        _ => row.why.to_owned(),
    }
}

/// The row that decides about a path.
fn decision<'a>(path: &str, tables: &[&'a [Row]]) -> Option<&'a Row> {
    let fits = |row: &&Row| match row.path.strip_suffix(".**") {
        Some(above) => path
            .strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with("[]")),
        None => row.path == path,
    };
    tables.iter().flat_map(|table| table.iter()).find(fits)
}

fn has_free_keys(path: &str, tables: &[&[Row]]) -> bool {
    let keys = format!("{path}.*");
    tables.iter().any(|table| table.iter().any(|row| row.path == keys))
}

fn asks_for_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
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
            (json!({"hostPID": true}), "hostPID"),
            (json!({"hostIPC": true}), "hostIPC"),
            (
                json!({"securityContext": {"sysctls": [{"name": "a", "value": "b"}]}}),
                "forbidden sysctl: \"a\"",
            ),
            (json!({"os": {"name": "windows"}}), "\"windows\""),
            (
                json!({"securityContext": {"seLinuxOptions": {"level": "s0:c1"}}}),
                "seLinuxOptions.level (s0:c1: ",
            ),
            (
                json!({"securityContext": {"seLinuxOptions": {"level": "s0", "type": "spc_t"}}}),
                "seLinuxOptions.type",
            ),
            (
                json!({"securityContext": {"supplementalGroupsPolicy": "Strict"}}),
                "Strict",
            ),
            (
                json!({"volumes": [{"name": "v", "nfs": {"server": "s", "path": "/"}}]}),
                "volumes[].nfs",
            ),
            (
                json!({"volumes": [{"name": "v", "emptyDir": {"medium": "HugePages"}}]}),
                "volumes[].emptyDir.medium",
            ),
        ] {
            let message = verdict(spec).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
        for (fields, named) in [
            (
                json!({"readinessProbe": {"tcpSocket": {"port": 1}, "terminationGracePeriodSeconds": 1}}),
                "readinessProbe.terminationGracePeriodSeconds",
            ),
            (json!({"securityContext": {"privileged": true}}), "privileged"),
            (
                json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
                "capabilities.add",
            ),
            (
                json!({"lifecycle": {"preStop": {"tcpSocket": {"port": 1}}}}),
                "lifecycle.preStop.tcpSocket",
            ),
            (
                json!({"restartPolicy": "Never", "restartPolicyRules": [{"action": "RestartAllContainers",
                    "exitCodes": {"operator": "In", "values": [1]}}]}),
                "restartPolicyRules[].action",
            ),
            (json!({"ports": [{"containerPort": 1, "hostIP": "10.0.0.1"}]}), "hostIP"),
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
        container(json!({"securityContext": {"privileged": false, "seLinuxOptions": {"level": "s0"}, "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}, "readOnlyRootFilesystem": true}}))
        .unwrap();
    }

    #[test]
    fn a_port_of_the_node_is_the_containers_own() {
        container(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})).unwrap();
        let why = container(json!({"ports": [{"containerPort": 80, "hostPort": 8080}]})).unwrap_err();
        assert!(why.contains("hostPort 8080"), "{why}");
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

    /// Paths of the API's type, those of containers as the table writes them.
    fn known(prefix: &str) -> std::collections::BTreeSet<String> {
        let all = paths::of::<k8s_openapi::api::core::v1::PodSpec>();
        if prefix.is_empty() {
            let target = "ephemeralContainers[].targetContainerName";
            let lists = ["containers[]", "initContainers[]", "ephemeralContainers[]"];
            let own = |path: &String| path == target || !lists.iter().any(|list| path.starts_with(list));
            return all.into_iter().filter(own).collect();
        }
        all.iter()
            .filter_map(|path| path.strip_prefix(prefix))
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn no_field_of_the_api_is_forgotten() {
        for path in known("") {
            assert!(
                decision(&path, &[POD, VOLUMES]).is_some(),
                "nobody decided about {path}"
            );
        }
        let containers = known("containers[].");
        assert_eq!(containers, known("initContainers[]."));
        let mut ephemeral = known("ephemeralContainers[].");
        ephemeral.remove("targetContainerName");
        assert_eq!(containers, ephemeral);
        for path in containers {
            assert!(
                decision(&path, CONTAINERS).is_some(),
                "nobody decided about container.{path}"
            );
        }
    }

    #[test]
    fn no_decision_is_about_a_field_that_is_not_there() {
        for (table, known) in [(POD, known("")), (VOLUMES, known(""))]
            .into_iter()
            .chain(CONTAINERS.iter().map(|table| (*table, known("containers[]."))))
        {
            for row in table
                .iter()
                .filter(|row| !["containers", "initContainers", "ephemeralContainers"].contains(&row.path))
            {
                assert!(
                    known
                        .iter()
                        .any(|path| decision(path, &[table]).is_some_and(|found| found.path == row.path)),
                    "{}",
                    row.path
                );
                let whole = row.path.ends_with(".**") && row.decision == Decision::Honoured;
                let scheduling = [
                    "affinity.**",
                    "tolerations.**",
                    "topologySpreadConstraints.**",
                    "schedulingGates.**",
                    "readinessGates.**",
                    "volumes[].ephemeral.**",
                ];
                assert!(
                    !whole || scheduling.contains(&row.path),
                    "{} would honour what it does not know",
                    row.path
                );
            }
        }
    }

    /// A pod that says something at one path of its spec, and is a pod.
    fn pod_with(path: &str) -> Pod {
        let mut spec: k8s_openapi::api::core::v1::PodSpec = paths::along(path);
        if spec.containers.is_empty() {
            spec.containers.push(k8s_openapi::api::core::v1::Container::default());
        }
        let all = spec.init_containers.iter_mut().flatten().chain(&mut spec.containers);
        for (n, container) in all.enumerate() {
            container.name = format!("c{n}");
        }
        Pod {
            spec: Some(spec),
            ..Pod::default()
        }
    }

    /// For every field of the API that is refused, or that takes a few words only: a pod that says something there (a word
    /// that no row knows) is refused by name, with the reason that stands in its row. A field without a row would fail
    /// elsewhere; a row that no field has here.
    #[test]
    fn each_refusal_is_told() {
        let mut told = std::collections::BTreeSet::new();
        let all = paths::of::<k8s_openapi::api::core::v1::PodSpec>();
        for whole in all.iter().filter(|path| !path.starts_with("ephemeralContainers")) {
            let lists = ["containers[]", "initContainers[]"].map(|list| (list, format!("{list}.")));
            let inner = lists
                .iter()
                .find_map(|(list, before)| Some((list.replace("[]", "[0]."), whole.strip_prefix(before.as_str())?)));
            let (place, path, row) = match &inner {
                Some((place, path)) => (place.as_str(), *path, decision(path, CONTAINERS)),
                None => ("", whole.as_str(), decision(whole, &[POD, VOLUMES])),
            };
            let Some(row) = row.filter(|row| matches!(row.decision, Decision::Refused | Decision::Only(_))) else {
                continue;
            };
            let Err(Fault::Rejected(rejection)) = decide(&pod_with(whole)) else {
                panic!("{whole} is not refused");
            };
            // (Two have words that are the kubelet's own.)
            let (reason, named) = match path {
                "os.name" => ("PodOSNotSupported", "the OS field".to_owned()),
                _ if path.starts_with("securityContext.sysctls") => ("SysctlForbidden", table::KERNEL.to_owned()),
                _ => {
                    let above = row.path.strip_suffix(".**").unwrap_or(row.path);
                    ("UnsupportedField", format!("{place}{above}"))
                }
            };
            let message = &rejection.message;
            assert_eq!(rejection.reason, reason, "{message}");
            assert!(message.contains(&named), "{whole}: {message}");
            assert!(message.contains(row.why) || path == "os.name", "{whole}: {message}");
            told.insert((row.path, row.why));
        }
        let tables = [POD, VOLUMES].into_iter().chain(CONTAINERS.iter().copied());
        for row in tables
            .flatten()
            .filter(|row| matches!(row.decision, Decision::Refused | Decision::Only(_)))
        {
            assert!(
                told.contains(&(row.path, row.why)),
                "no pod was refused for {}",
                row.path
            );
        }
    }

    fn repository(path: &str) -> std::path::PathBuf {
        std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../..")
            .join(path)
    }

    #[test]
    fn the_documentation_is_what_the_table_says() {
        document::same_as_file("docs/pods.md", &document::markdown());
    }

    #[test]
    fn each_field_that_is_honoured_names_a_case_of_the_suite() {
        let cases: String = std::fs::read_dir(repository("testbed/e2e/cases"))
            .unwrap()
            .map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap())
            .collect();
        let rows = [POD, VOLUMES].iter().chain(CONTAINERS).flat_map(|table| table.iter());
        for row in rows {
            let nothing_to_show = matches!(row.decision, Decision::Refused | Decision::Meaningless);
            assert!(
                nothing_to_show && row.test.is_empty() || cases.contains(&format!("case_{}()", row.test)),
                "no case of testbed/e2e shows {}: {:?}",
                row.path,
                row.test
            );
        }
    }

    #[test]
    fn what_has_no_row_is_refused() {
        let mut refused = Vec::new();
        walk(
            &json!({"new": {"deep": [{"x": 1}]}}),
            "configMap",
            &[POD],
            "",
            &mut refused,
        );
        assert_eq!(refused, ["configMap.new.deep[].x (it is not known)"]);
    }
}
