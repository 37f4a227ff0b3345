//! The rules about a container's life: its restart policy, its hooks and its probes.

use k8s_openapi::api::core::v1::{Container, LifecycleHandler, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde::Serialize;

use super::Found;

/// How many of some fields a value has.
fn count(value: &impl Serialize, fields: &[&str]) -> usize {
    let value = serde_json::to_value(value).unwrap_or_default();
    fields.iter().filter(|field| value.get(*field).is_some()).count()
}

impl Found {
    pub(super) fn life(&mut self, container: &Container, init: bool, path: &str) {
        let policy = container.restart_policy.as_deref();
        self.one_of(
            policy,
            &format!("{path}.restartPolicy"),
            &["Always", "OnFailure", "Never"],
        );
        let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
        self.expect(
            rules.is_empty() || policy.is_some(),
            &format!("{path}.restartPolicy"),
            || "Required value: must specify restartPolicy when restart rules are used".to_owned(),
        );
        for (n, rule) in rules.iter().enumerate() {
            let codes = format!("{path}.restartPolicyRules[{n}].exitCodes");
            let operator = rule.exit_codes.as_ref().map(|codes| codes.operator.as_str());
            self.expect(operator.is_some(), &codes, || {
                "Required value: must be specified".to_owned()
            });
            self.one_of(operator, &format!("{codes}.operator"), &["In", "NotIn"]);
        }
        let probes = [
            ("startupProbe", &container.startup_probe),
            ("livenessProbe", &container.liveness_probe),
            ("readinessProbe", &container.readiness_probe),
        ];
        let once = init && policy != Some("Always");
        let lifecycle = container.lifecycle.as_ref();
        let mut fields: Vec<&str> = probes
            .iter()
            .filter_map(|(name, probe)| probe.as_ref().map(|_| *name))
            .collect();
        fields.extend(lifecycle.map(|_| "lifecycle"));
        for field in fields {
            self.expect(!once, &format!("{path}.{field}"), || {
                "Forbidden: may not be set for init containers without restartPolicy=Always".to_owned()
            });
        }
        for (name, probe) in probes {
            if let Some(probe) = probe {
                self.probe(probe, name, &format!("{path}.{name}"));
            }
        }
        for (name, handler) in [
            (
                "postStart",
                lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref()),
            ),
            ("preStop", lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref())),
        ] {
            if let Some(handler) = handler {
                self.handler(handler, &format!("{path}.lifecycle.{name}"));
            }
        }
    }

    fn probe(&mut self, probe: &Probe, name: &str, path: &str) {
        for (key, value) in [
            ("initialDelaySeconds", probe.initial_delay_seconds),
            ("timeoutSeconds", probe.timeout_seconds),
            ("periodSeconds", probe.period_seconds),
            ("successThreshold", probe.success_threshold),
            ("failureThreshold", probe.failure_threshold),
        ] {
            self.between(value.map(i64::from), &format!("{path}.{key}"), 0, i64::MAX);
        }
        let successes = probe.success_threshold.filter(|value| *value > 1);
        self.expect(
            name == "readinessProbe" || successes.is_none(),
            &format!("{path}.successThreshold"),
            || format!("Invalid value: {}: must be 1", successes.unwrap_or_default()),
        );
        let grace = probe.termination_grace_period_seconds;
        let of_grace = format!("{path}.terminationGracePeriodSeconds");
        self.expect(grace.is_none_or(|grace| grace > 0), &of_grace, || {
            format!("Invalid value: {}: must be greater than 0", grace.unwrap_or_default())
        });
        self.expect(name != "readinessProbe" || grace.is_none(), &of_grace, || {
            format!(
                "Invalid value: {}: must not be set for readinessProbes",
                grace.unwrap_or_default()
            )
        });
        self.one_handler(count(probe, &["exec", "httpGet", "tcpSocket", "grpc"]), path);
        let ports = [
            ("httpGet", probe.http_get.as_ref().map(|get| &get.port)),
            ("tcpSocket", probe.tcp_socket.as_ref().map(|tcp| &tcp.port)),
        ];
        for (key, port) in ports {
            self.port(port, &format!("{path}.{key}.port"));
        }
        let port = probe.grpc.as_ref().map(|grpc| i64::from(grpc.port));
        self.between(port, &format!("{path}.grpc.port"), 1, 65_535);
        let scheme = probe.http_get.as_ref().and_then(|get| get.scheme.as_deref());
        self.one_of(scheme, &format!("{path}.httpGet.scheme"), &["HTTP", "HTTPS"]);
    }

    fn handler(&mut self, handler: &LifecycleHandler, path: &str) {
        self.one_handler(count(handler, &["exec", "httpGet", "tcpSocket", "sleep"]), path);
        self.port(
            handler.http_get.as_ref().map(|get| &get.port),
            &format!("{path}.httpGet.port"),
        );
        let seconds = handler.sleep.as_ref().map(|sleep| sleep.seconds);
        self.between(seconds, &format!("{path}.sleep.seconds"), 0, i64::MAX);
    }

    fn one_handler(&mut self, count: usize, path: &str) {
        self.expect(count > 0, path, || {
            "Required value: must specify a handler type".to_owned()
        });
        self.expect(count <= 1, path, || {
            "Forbidden: may not specify more than 1 handler type".to_owned()
        });
    }

    fn port(&mut self, port: Option<&IntOrString>, path: &str) {
        if let Some(IntOrString::Int(port)) = port {
            self.between(Some(i64::from(*port)), path, 1, 65_535);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::problems;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    fn found(list: &str, fields: Value) -> String {
        let mut container = json!({"name": "c", "image": "i"});
        container
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        let mut spec = json!({"containers": [{"name": "d", "image": "i"}]});
        spec[list] = json!([container]);
        let pod: Pod = serde_json::from_value(json!({"spec": spec})).unwrap();
        problems(&pod).join("; ")
    }

    #[test]
    fn what_is_right_is_taken() {
        let all = json!({"restartPolicy": "Always", "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
            "startupProbe": {"exec": {"command": ["x"]}, "successThreshold": 1, "terminationGracePeriodSeconds": 1},
            "livenessProbe": {"grpc": {"port": 1}}, "readinessProbe": {"httpGet": {"port": "web", "scheme": "HTTPS"}, "successThreshold": 3},
            "lifecycle": {"postStart": {"httpGet": {"port": 1}}, "preStop": {"sleep": {"seconds": 0}}}});
        assert_eq!(found("containers", all.clone()), "");
        assert_eq!(found("initContainers", all), "");
    }

    #[test]
    fn what_the_api_server_refuses_is_refused_with_its_words() {
        for (list, fields, expected) in [
            (
                "containers",
                json!({"restartPolicy": "always"}),
                "containers[0].restartPolicy: Unsupported value",
            ),
            (
                "containers",
                json!({"restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]}),
                "restartPolicy: Required value: must specify restartPolicy when restart rules are used",
            ),
            (
                "containers",
                json!({"restartPolicy": "Never", "restartPolicyRules": [{"action": "Restart"}]}),
                "restartPolicyRules[0].exitCodes: Required value",
            ),
            (
                "containers",
                json!({"livenessProbe": {}}),
                "livenessProbe: Required value: must specify a handler type",
            ),
            (
                "containers",
                json!({"livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}}),
                "livenessProbe: Forbidden: may not specify more than 1 handler type",
            ),
            (
                "containers",
                json!({"livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}}),
                "livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ),
            (
                "containers",
                json!({"startupProbe": {"tcpSocket": {"port": 0}, "periodSeconds": -1}}),
                "startupProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0; spec.containers[0].startupProbe.tcpSocket.port: Invalid value: 0",
            ),
            (
                "containers",
                json!({"readinessProbe": {"grpc": {"port": 1}, "terminationGracePeriodSeconds": 5}}),
                "readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for readinessProbes",
            ),
            (
                "containers",
                json!({"lifecycle": {"preStop": {}}}),
                "lifecycle.preStop: Required value: must specify a handler type",
            ),
            (
                "initContainers",
                json!({"readinessProbe": {"grpc": {"port": 1}}, "lifecycle": {}}),
                "initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always; spec.initContainers[0].lifecycle: Forbidden",
            ),
        ] {
            let said = found(list, fields);
            assert!(said.contains(expected), "{said}");
        }
    }
}
