//! What the API server would have refused: without one, nobody else looks at it.
//!
//! Source: `pkg/apis/core/validation/validation.go`, as far as it is about fields that are honoured here; the words are
//! its own, so that a manifest is refused here as it is there.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, PodSpec, Volume};
use towline_core::quantity;

mod life;

/// Everything that is wrong with a pod, each with its path.
pub fn problems(pod: &Pod) -> Vec<String> {
    let mut found = Found::default();
    if let Some(spec) = &pod.spec {
        found.pod(spec);
    }
    found.0
}

#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn expect(&mut self, right: bool, path: &str, message: impl FnOnce() -> String) {
        if !right {
            self.0.push(format!("{path}: {}", message()));
        }
    }

    /// One of some words. An empty one is as good as none: the API server fills in the default.
    fn one_of(&mut self, value: Option<&str>, path: &str, words: &[&str]) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.expect(words.contains(&value), path, || {
                let words: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                format!("Unsupported value: {value:?}: supported values: {}", words.join(", "))
            });
        }
    }

    fn between(&mut self, value: Option<i64>, path: &str, least: i64, most: i64) {
        if let Some(value) = value {
            self.expect((least..=most).contains(&value), path, || {
                let bound = if most == i64::MAX {
                    format!("must be greater than or equal to {least}")
                } else {
                    format!("must be between {least} and {most}, inclusive")
                };
                format!("Invalid value: {value}: {bound}")
            });
        }
    }

    fn unique<'a>(&mut self, seen: &mut BTreeSet<&'a str>, value: &'a str, path: &str) {
        let new = seen.insert(value);
        self.expect(new, path, || format!("Duplicate value: {value:?}"));
    }

    fn pod(&mut self, spec: &PodSpec) {
        let policies = ["Always", "OnFailure", "Never"];
        self.one_of(spec.restart_policy.as_deref(), "spec.restartPolicy", &policies);
        let dns = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
        self.one_of(spec.dns_policy.as_deref(), "spec.dnsPolicy", &dns);
        let grace = spec.termination_grace_period_seconds;
        self.between(grace, "spec.terminationGracePeriodSeconds", 0, i64::MAX);
        let deadline = spec.active_deadline_seconds;
        self.between(deadline, "spec.activeDeadlineSeconds", 1, i64::from(i32::MAX));
        for (key, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
            if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
                self.label(value, &format!("spec.{key}"));
            }
        }
        let mut volumes = BTreeSet::new();
        for (n, volume) in spec.volumes.iter().flatten().enumerate() {
            let path = format!("spec.volumes[{n}]");
            self.label(&volume.name, &format!("{path}.name"));
            self.unique(&mut volumes, &volume.name, &format!("{path}.name"));
            self.volume(volume, &path);
        }
        let lists = [
            ("initContainers", spec.init_containers.as_deref().unwrap_or_default()),
            ("containers", spec.containers.as_slice()),
        ];
        for (list, containers) in lists {
            for (n, container) in containers.iter().enumerate() {
                let path = format!("spec.{list}[{n}]");
                self.container(container, &volumes, &path);
                self.life(container, list == "initContainers", &path);
            }
        }
    }

    fn label(&mut self, value: &str, path: &str) {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ends = !value.starts_with('-') && !value.ends_with('-');
        let right = (1..=63).contains(&value.len()) && value.bytes().all(fits) && ends;
        self.expect(right, path, || {
            format!("Invalid value: {value:?}: a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character")
        });
    }

    fn volume(&mut self, volume: &Volume, path: &str) {
        let sources = serde_json::to_value(volume).ok();
        let count = sources
            .as_ref()
            .and_then(|value| value.as_object())
            .map_or(0, |map| map.len() - 1);
        self.expect(count <= 1, path, || {
            "Forbidden: may not specify more than 1 volume type".to_owned()
        });
        if let Some(medium) = volume.empty_dir.as_ref().and_then(|source| source.medium.as_deref()) {
            let huge = medium == "HugePages" || medium.starts_with("HugePages-");
            if !huge {
                self.one_of(
                    Some(medium),
                    &format!("{path}.emptyDir.medium"),
                    &["Memory", "HugePages"],
                );
            }
        }
        let size = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
        if let Some(size) = size {
            self.quantity(&size.0, &format!("{path}.emptyDir.sizeLimit"));
        }
        let modes = [
            (
                "configMap",
                volume.config_map.as_ref().and_then(|source| source.default_mode),
            ),
            ("secret", volume.secret.as_ref().and_then(|source| source.default_mode)),
            (
                "projected",
                volume.projected.as_ref().and_then(|source| source.default_mode),
            ),
            (
                "downwardAPI",
                volume.downward_api.as_ref().and_then(|source| source.default_mode),
            ),
        ];
        for (key, mode) in modes {
            self.between(mode.map(i64::from), &format!("{path}.{key}.defaultMode"), 0, 0o777);
        }
    }

    fn container(&mut self, container: &Container, volumes: &BTreeSet<&str>, path: &str) {
        let image = container.image.as_deref().unwrap_or_default();
        self.expect(!image.is_empty(), &format!("{path}.image"), || {
            "Required value".to_owned()
        });
        let pull = container.image_pull_policy.as_deref();
        self.one_of(
            pull,
            &format!("{path}.imagePullPolicy"),
            &["Always", "IfNotPresent", "Never"],
        );
        let policy = container.termination_message_policy.as_deref();
        let policies = ["File", "FallbackToLogsOnError"];
        self.one_of(policy, &format!("{path}.terminationMessagePolicy"), &policies);
        let mut names = BTreeSet::new();
        for (n, port) in container.ports.iter().flatten().enumerate() {
            let path = format!("{path}.ports[{n}]");
            let number = i64::from(port.container_port);
            self.between(Some(number), &format!("{path}.containerPort"), 1, 65_535);
            let host = port.host_port.filter(|port| *port != 0).map(i64::from);
            self.between(host, &format!("{path}.hostPort"), 1, 65_535);
            self.one_of(
                port.protocol.as_deref(),
                &format!("{path}.protocol"),
                &["TCP", "UDP", "SCTP"],
            );
            if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                self.unique(&mut names, name, &format!("{path}.name"));
            }
        }
        for (n, variable) in container.env.iter().flatten().enumerate() {
            self.variable(variable, &format!("{path}.env[{n}]"));
        }
        for (n, source) in container.env_from.iter().flatten().enumerate() {
            if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
                self.variable_name(prefix, &format!("{path}.envFrom[{n}].prefix"));
            }
            let count = usize::from(source.config_map_ref.is_some()) + usize::from(source.secret_ref.is_some());
            self.expect(count == 1, &format!("{path}.envFrom[{n}]"), || {
                "Invalid value: must specify one of: `configMapRef` or `secretRef`".to_owned()
            });
        }
        let mut places = BTreeSet::new();
        for (n, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let path = format!("{path}.volumeMounts[{n}]");
            let known = volumes.contains(mount.name.as_str());
            self.expect(known, &format!("{path}.name"), || {
                format!("Not found: {:?}", mount.name)
            });
            let place = format!("{path}.mountPath");
            self.expect(!mount.mount_path.is_empty(), &place, || "Required value".to_owned());
            let new = places.insert(mount.mount_path.as_str());
            self.expect(new, &place, || {
                format!("Invalid value: {:?}: must be unique", mount.mount_path)
            });
        }
        self.resources(container, path);
    }

    fn variable(&mut self, variable: &EnvVar, path: &str) {
        self.variable_name(&variable.name, &format!("{path}.name"));
        let Some(source) = &variable.value_from else { return };
        let written = variable.value.as_deref().is_some_and(|value| !value.is_empty());
        let path = format!("{path}.valueFrom");
        self.expect(!written, &path, || {
            "Invalid value: \"\": may not be specified when `value` is not empty".to_owned()
        });
        let count = serde_json::to_value(source)
            .ok()
            .and_then(|value| value.as_object().map(serde_json::Map::len))
            .unwrap_or_default();
        self.expect(count == 1, &path, || {
            let many = "may not have more than one field specified at a time";
            let none = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
            format!("Invalid value: \"\": {}", if count == 0 { none } else { many })
        });
    }

    /// As it has been since Kubernetes 1.34: anything that can be printed, without `=`.
    fn variable_name(&mut self, name: &str, path: &str) {
        self.expect(!name.is_empty(), path, || "Required value".to_owned());
        let right = name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
        self.expect(right, path, || {
            format!("Invalid value: {name:?}: a valid environment variable name must consist only of printable ASCII characters other than '='")
        });
    }

    fn resources(&mut self, container: &Container, path: &str) {
        let Some(resources) = &container.resources else { return };
        for (key, amounts) in [("limits", &resources.limits), ("requests", &resources.requests)] {
            for (name, amount) in amounts.iter().flatten() {
                self.quantity(&amount.0, &format!("{path}.resources.{key}[{name}]"));
            }
        }
        for (name, request) in resources.requests.iter().flatten() {
            let limit = resources.limits.as_ref().and_then(|limits| limits.get(name));
            if let (Some(limit), Ok(asked)) = (limit, quantity::milli(&request.0))
                && let Ok(most) = quantity::milli(&limit.0)
            {
                self.expect(asked <= most, &format!("{path}.resources.requests"), || {
                    format!(
                        "Invalid value: {:?}: must be less than or equal to {name} limit of {}",
                        request.0, limit.0
                    )
                });
            }
        }
    }

    fn quantity(&mut self, text: &str, path: &str) {
        let negative = text.starts_with('-');
        self.expect(!negative, path, || {
            format!("Invalid value: {text:?}: must be greater than or equal to 0")
        });
        if let (false, Err(error)) = (negative, quantity::milli(text)) {
            self.0.push(format!("{path}: Invalid value: {text:?}: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn found(change: impl Fn(&mut Value)) -> String {
        let mut spec = json!({
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}],
            "containers": [{
                "name": "c", "image": "i", "imagePullPolicy": "", "env": [{"name": "a.b-c d", "value": ""}],
                "ports": [{"containerPort": 80, "protocol": "UDP"}], "volumeMounts": [{"name": "v", "mountPath": "/v"}],
                "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1500m"}},
            }],
        });
        change(&mut spec);
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        problems(&pod).join("; ")
    }

    #[test]
    fn what_is_right_is_taken() {
        assert_eq!(found(|_| {}), "");
        assert_eq!(found(|spec| spec["restartPolicy"] = json!("")), "");
    }

    #[test]
    fn what_the_api_server_refuses_is_refused_with_its_words() {
        for (pointer, value, expected) in [
            (
                "/restartPolicy",
                json!("always"),
                "spec.restartPolicy: Unsupported value: \"always\": supported values: \"Always\", \"OnFailure\", \"Never\"",
            ),
            ("/dnsPolicy", json!("x"), "spec.dnsPolicy: Unsupported value"),
            (
                "/terminationGracePeriodSeconds",
                json!(-1),
                "spec.terminationGracePeriodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                "/activeDeadlineSeconds",
                json!(0),
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647",
            ),
            ("/hostname", json!("a.b"), "spec.hostname: Invalid value"),
            ("/volumes/0/name", json!("V"), "spec.volumes[0].name: Invalid value"),
            (
                "/volumes/1",
                json!({"name": "v"}),
                "spec.volumes[1].name: Duplicate value: \"v\"",
            ),
            (
                "/volumes/0/configMap",
                json!({"name": "m"}),
                "spec.volumes[0]: Forbidden: may not specify more than 1 volume type",
            ),
            (
                "/volumes/0/emptyDir/medium",
                json!("Tape"),
                "spec.volumes[0].emptyDir.medium: Unsupported value: \"Tape\"",
            ),
            (
                "/volumes/0",
                json!({"name": "v", "secret": {"secretName": "s", "defaultMode": 512}}),
                "secret.defaultMode: Invalid value: 512",
            ),
            (
                "/containers/0/image",
                json!(""),
                "spec.containers[0].image: Required value",
            ),
            (
                "/containers/0/imagePullPolicy",
                json!("Sometimes"),
                "imagePullPolicy: Unsupported value: \"Sometimes\"",
            ),
            (
                "/containers/0/terminationMessagePolicy",
                json!("x"),
                "terminationMessagePolicy: Unsupported value",
            ),
            (
                "/containers/0/ports/0/protocol",
                json!("tcp"),
                "ports[0].protocol: Unsupported value: \"tcp\"",
            ),
            (
                "/containers/0/ports/0/containerPort",
                json!(0),
                "ports[0].containerPort: Invalid value: 0: must be between 1 and 65535",
            ),
            (
                "/containers/0/env/0/name",
                json!("a=b"),
                "env[0].name: Invalid value: \"a=b\"",
            ),
            ("/containers/0/env/0/name", json!(""), "env[0].name: Required value"),
            (
                "/containers/0/env/0",
                json!({"name": "a", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}),
                "may not be specified when `value` is not empty",
            ),
            (
                "/containers/0/env/0",
                json!({"name": "a", "valueFrom": {}}),
                "must specify one of",
            ),
            (
                "/containers/0/envFrom",
                json!([{"prefix": "x"}]),
                "envFrom[0]: Invalid value: must specify one of",
            ),
            (
                "/containers/0/volumeMounts/0/name",
                json!("w"),
                "volumeMounts[0].name: Not found: \"w\"",
            ),
            (
                "/containers/0/volumeMounts/1",
                json!({"name": "v", "mountPath": "/v"}),
                "volumeMounts[1].mountPath: Invalid value: \"/v\": must be unique",
            ),
            (
                "/containers/0/resources/requests/cpu",
                json!("-1"),
                "resources.requests[cpu]: Invalid value: \"-1\": must be greater than or equal to 0",
            ),
            (
                "/containers/0/resources/requests/cpu",
                json!("2"),
                "must be less than or equal to cpu limit of 1500m",
            ),
            (
                "/initContainers",
                json!([{"name": "i"}]),
                "spec.initContainers[0].image: Required value",
            ),
        ] {
            let said = found(|spec| set(spec, pointer, value.clone()));
            assert!(said.contains(expected), "{pointer}: {said}");
        }
    }

    fn set(spec: &mut Value, pointer: &str, value: Value) {
        let (above, last) = pointer.rsplit_once('/').unwrap();
        match spec.pointer_mut(above).unwrap() {
            Value::Array(list) if last.parse::<usize>().unwrap() == list.len() => list.push(value),
            Value::Array(list) => list[last.parse::<usize>().unwrap()] = value,
            other => other[last] = value,
        }
    }
}
