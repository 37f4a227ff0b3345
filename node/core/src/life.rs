//! The life of a container: when it runs again, what ends it, and what is done to it meanwhile, its hooks and its probes.
//!
//! Sources: `pkg/kubelet/lifecycle/handlers.go`, `pkg/kubelet/prober/prober.go`, `pkg/probe/http/request.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::bundle::Bundle;
use crate::environment::expand;
use crate::translate::Fault;
use crate::words;

/// What HTTP requests say who asks, as a kubelet of the version whose API this is.
const PROBE_AGENT: &str = "kube-probe/1.36";
const HOOK_AGENT: &str = "kube-lifecycle/1.36";

/// Pairs of a file, as far as they are known.
type Pairs = Vec<(&'static str, String)>;

/// Whether a container is a sidecar: an init container that runs beside those that come after it.
pub fn is_sidecar(init: bool, container: &Container) -> bool {
    init && container.restart_policy.as_deref() == Some("Always")
}

/// Whether a container that ended with this code is started again. `policy` is the pod's.
pub fn runs_again(container: &Container, policy: &str, exit: i32) -> bool {
    for rule in container.restart_policy_rules.iter().flatten() {
        if let Some(codes) = &rule.exit_codes {
            let listed = codes.values.iter().flatten().any(|value| *value == exit);
            if listed == (codes.operator == "In") {
                return true;
            }
        }
    }
    match container.restart_policy.as_deref().unwrap_or(policy) {
        "Never" => false,
        "OnFailure" => exit != 0,
        _ => true,
    }
}

/// What the file `container` says of a container's life.
///
/// # Errors
/// A rule that has no exit codes, or a signal that is none.
pub fn pairs(init: bool, container: &Container) -> Result<Pairs, Fault> {
    let mut pairs = Vec::new();
    let policy = container.restart_policy.as_deref().unwrap_or_default();
    if !policy.is_empty() && !is_sidecar(init, container) {
        pairs.push(("restart", policy.to_owned()));
    }
    let mut rules = Vec::new();
    for rule in container.restart_policy_rules.iter().flatten() {
        let codes = rule
            .exit_codes
            .as_ref()
            .filter(|codes| matches!(codes.operator.as_str(), "In" | "NotIn"));
        let codes = codes.ok_or_else(|| invalid(container, "a rule of restartPolicyRules lacks its exitCodes"))?;
        let values: String = codes.values.iter().flatten().map(|value| format!("{value},")).collect();
        rules.push(format!("{}:,{values}", codes.operator));
    }
    if !rules.is_empty() {
        pairs.push(("restart_rules", rules.join(" ")));
    }
    if container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError") {
        pairs.push(("message", "logs".to_owned()));
    }
    if let Some(name) = stop_signal(container) {
        let number = signal(name).ok_or_else(|| invalid(container, &format!("{name:?} is no signal")))?;
        pairs.push(("stop_signal", number.to_string()));
    }
    Ok(pairs)
}

/// The signal that a container asks to be ended by.
pub fn stop_signal(container: &Container) -> Option<&str> {
    let name = container.lifecycle.as_ref()?.stop_signal.as_deref()?;
    Some(name).filter(|name| !name.is_empty())
}

/// Adds the files of a container's hooks and probes below `base`.
///
/// # Errors
/// A port that the container does not have, or something that the files cannot carry.
pub fn add(bundle: &mut Bundle, base: &str, container: &Container) -> Result<(), Fault> {
    let mut files = Files {
        bundle,
        base,
        container,
    };
    if let Some(lifecycle) = &container.lifecycle {
        for (name, handler) in [("post_start", &lifecycle.post_start), ("pre_stop", &lifecycle.pre_stop)] {
            if let Some(handler) = handler {
                files.hook(name, handler)?;
            }
        }
    }
    for (name, probe) in [
        ("startup", &container.startup_probe),
        ("liveness", &container.liveness_probe),
        ("readiness", &container.readiness_probe),
    ] {
        if let Some(probe) = probe {
            files.probe(name, probe)?;
        }
    }
    Ok(())
}

fn invalid(container: &Container, why: &str) -> Fault {
    Fault::rejected("InvalidPod", format!("container {}: {why}", container.name))
}

struct Files<'a> {
    bundle: &'a mut Bundle,
    base: &'a str,
    container: &'a Container,
}

impl Files<'_> {
    fn hook(&mut self, name: &'static str, handler: &LifecycleHandler) -> Result<(), Fault> {
        let pairs = match handler {
            LifecycleHandler { exec: Some(exec), .. } => self.exec(name, exec, None)?,
            LifecycleHandler {
                http_get: Some(get), ..
            } => self.http(name, get, HOOK_AGENT)?,
            LifecycleHandler {
                sleep: Some(SleepAction { seconds }),
                ..
            } => vec![
                ("action", "sleep".to_owned()),
                ("seconds", (*seconds).max(0).to_string()),
            ],
            _ => return Err(invalid(self.container, &format!("the hook {name} says nothing"))),
        };
        self.bundle.file(format!("{}/{name}", self.base), words::pairs(pairs)?);
        Ok(())
    }

    fn probe(&mut self, name: &'static str, probe: &Probe) -> Result<(), Fault> {
        let mut pairs = match probe {
            Probe { exec: Some(exec), .. } => {
                // As on a kubelet: variables with a value of their own are known, others are empty.
                let variables = self.container.env.iter().flatten();
                let known = variables
                    .map(|variable| (variable.name.clone(), variable.value.clone().unwrap_or_default()))
                    .collect();
                self.bundle.directory(format!("{}/said", self.base), 0o700);
                self.exec(name, exec, Some(&known))?
            }
            Probe {
                http_get: Some(get), ..
            } => self.http(name, get, PROBE_AGENT)?,
            Probe {
                tcp_socket: Some(TCPSocketAction { host, port }),
                ..
            } => self.at("tcp", host.as_ref(), port)?,
            Probe {
                grpc: Some(GRPCAction { port, service }),
                ..
            } => {
                let path = format!("{}/{name}.grpc", self.base);
                self.bundle.file(path, question(service.as_deref().unwrap_or_default()));
                self.at("grpc", None, &IntOrString::Int(*port))?
            }
            _ => return Err(invalid(self.container, &format!("the {name} probe says nothing"))),
        };
        // (What is not there or zero is what the API server fills in.)
        let number = |value: Option<i32>, usual: i32| value.filter(|value| *value > 0).unwrap_or(usual).to_string();
        pairs.push(("initial_s", number(probe.initial_delay_seconds, 0)));
        pairs.push(("period_s", number(probe.period_seconds, 10)));
        pairs.push(("timeout_s", number(probe.timeout_seconds, 1)));
        pairs.push(("successes", number(probe.success_threshold, 1)));
        pairs.push(("failures", number(probe.failure_threshold, 3)));
        if let Some(grace) = probe.termination_grace_period_seconds {
            pairs.push(("grace_s", grace.max(0).to_string()));
        }
        self.bundle.file(format!("{}/{name}", self.base), words::pairs(pairs)?);
        Ok(())
    }

    fn exec(
        &mut self,
        name: &str,
        exec: &ExecAction,
        known: Option<&BTreeMap<String, String>>,
    ) -> Result<Pairs, Fault> {
        let command = exec.command.as_deref().unwrap_or_default();
        if command.is_empty() {
            return Err(invalid(self.container, &format!("{name} has no command")));
        }
        let command = command
            .iter()
            .map(|word| known.map_or_else(|| word.clone(), |known| expand(word, known)));
        self.bundle
            .file(format!("{}/{name}.exec", self.base), words::encode(command)?);
        Ok(vec![("action", "exec".to_owned())])
    }

    fn http(&mut self, name: &str, get: &HTTPGetAction, agent: &str) -> Result<Pairs, Fault> {
        let mut headers: Vec<(&str, &str)> = get
            .http_headers
            .iter()
            .flatten()
            .map(|header| (header.name.as_str(), header.value.as_str()))
            .collect();
        for (usual, value) in [("User-Agent", agent), ("Accept", "*/*")] {
            if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(usual)) {
                headers.push((usual, value));
            }
        }
        let mut text = String::new();
        for header in headers {
            text.push_str(&curl_header(header).ok_or_else(|| {
                invalid(
                    self.container,
                    &format!("{name}: {:?} cannot be a header of HTTP", header.0),
                )
            })?);
        }
        self.bundle.file(format!("{}/{name}.curl", self.base), text);
        let scheme = match get.scheme.as_deref() {
            Some("HTTPS") => "https",
            _ => "http",
        };
        let mut pairs = self.at("http", get.host.as_ref(), &get.port)?;
        pairs.push(("path", path(get.path.as_deref().unwrap_or_default())));
        pairs.push(("scheme", scheme.to_owned()));
        Ok(pairs)
    }

    fn at(&self, action: &str, host: Option<&String>, port: &IntOrString) -> Result<Pairs, Fault> {
        let named = |name: &String| {
            let mut ports = self.container.ports.iter().flatten();
            let port = ports.find(|port| port.name.as_ref() == Some(name));
            port.map(|port| port.container_port).or_else(|| name.parse().ok())
        };
        let found = match port {
            IntOrString::Int(port) => Some(*port),
            IntOrString::String(name) => named(name),
        };
        let found = found
            .filter(|port| (1..=65_535).contains(port))
            .ok_or_else(|| invalid(self.container, &format!("it has no port {port:?}")))?;
        let host = host.map(String::as_str).unwrap_or_default();
        if !host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_' | b'%'))
            || host.starts_with('-')
        {
            return Err(invalid(self.container, &format!("{host:?} is no host")));
        }
        Ok(vec![
            ("action", action.to_owned()),
            ("host", host.to_owned()),
            ("port", found.to_string()),
        ])
    }
}

/// A header as a line of a configuration of curl, which JSON reads as well; `None` if it can be none.
fn curl_header((name, value): (&str, &str)) -> Option<String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) || value.contains(|c: char| c.is_ascii_control() && c != '\t') {
        return None;
    }
    let value = value.trim();
    // An empty value takes one of curl's own headers away, which is what a kubelet does with these.
    let own = ["accept", "user-agent"].contains(&name.to_ascii_lowercase().as_str());
    let whole = match value {
        "" if own => format!("{name}:"),
        "" => format!("{name};"),
        value => format!("{name}: {value}"),
    };
    let quoted = whole.replace('\\', "\\\\").replace('"', "\\\"").replace('\t', "\\t");
    Some(format!("header = \"{quoted}\"\n"))
}

/// A path with query as it goes into a URL.
fn path(text: &str) -> String {
    let text = text.split('#').next().unwrap_or_default();
    let mut path = String::new();
    if !text.starts_with('/') {
        path.push('/');
    }
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
    }
    path
}

/// The question of gRPC's health check: a frame that holds a `HealthCheckRequest`.
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        let mut rest = service.len();
        while rest > 0x7f {
            message.push(u8::try_from(rest & 0x7f).unwrap_or(0) | 0x80);
            rest >>= 7;
        }
        message.push(u8::try_from(rest).unwrap_or(0));
        message.extend_from_slice(service.as_bytes());
    }
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap_or(0).to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// The number of a signal of Linux, by the names that the API has.
fn signal(name: &str) -> Option<u8> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    const REAL_TIME: std::ops::RangeInclusive<u8> = 34..=64;
    let name = name.strip_prefix("SIG")?;
    let name = match name {
        "CLD" => "CHLD",
        "IOT" => "ABRT",
        "POLL" => "IO",
        name => name,
    };
    if let Some(at) = NAMES.iter().position(|known| *known == name) {
        return u8::try_from(at + 1).ok();
    }
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(""), _) => *REAL_TIME.start(),
        (Some(more), _) => REAL_TIME.start().checked_add(more.strip_prefix('+')?.parse().ok()?)?,
        (_, Some("")) => *REAL_TIME.end(),
        (_, Some(less)) => REAL_TIME.end().checked_sub(less.strip_prefix('-')?.parse().ok()?)?,
        _ => return None,
    };
    REAL_TIME.contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Entry;
    use serde_json::{Value, json};

    fn container(fields: Value) -> Container {
        let mut container = json!({"name": "c", "ports": [{"name": "web", "containerPort": 8080}],
            "env": [{"name": "A", "value": "a"}, {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]});
        container
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        serde_json::from_value(container).unwrap()
    }

    fn files(fields: Value) -> Result<BTreeMap<String, String>, Fault> {
        let mut bundle = Bundle::default();
        add(&mut bundle, "b", &container(fields))?;
        let text = |entry: Entry| match entry {
            Entry::File(_, content) => String::from_utf8_lossy(&content).into_owned(),
            _ => "directory".to_owned(),
        };
        Ok(bundle
            .entries
            .into_iter()
            .map(|(path, entry)| (path, text(entry)))
            .collect())
    }

    #[test]
    fn a_command_is_probed_with_the_defaults_of_the_api() {
        let found = files(json!({"livenessProbe": {"exec": {"command": ["cat", "$(A)$(B)$(C)", "x\ny"]}}})).unwrap();
        assert_eq!(found["b/liveness.exec"], "=cat\n=a$(C)\n=x\n+y\n");
        assert_eq!(
            found["b/liveness"],
            "action=exec\ninitial_s=0\nperiod_s=10\ntimeout_s=1\nsuccesses=1\nfailures=3\n"
        );
        assert_eq!(found["b/said"], "directory");
    }

    #[test]
    fn a_port_is_asked_as_by_a_kubelet() {
        let get = json!({"httpGet": {"port": "web", "path": "health z?a=b\"#c", "scheme": "HTTPS", "host": "::1",
            "httpHeaders": [{"name": "Host", "value": "a\"\\b"}, {"name": "accept", "value": ""}, {"name": "X", "value": ""}]},
            "periodSeconds": 2, "terminationGracePeriodSeconds": 7});
        let found = files(json!({"startupProbe": get, "readinessProbe": {"tcpSocket": {"port": 80}}})).unwrap();
        let startup = &found["b/startup"];
        assert!(
            startup.starts_with(
                "action=http\nhost=::1\nport=8080\npath=/health%20z?a=b%22\nscheme=https\ninitial_s=0\nperiod_s=2\n"
            ) && startup.ends_with("grace_s=7\n"),
            "{startup}"
        );
        assert_eq!(
            found["b/startup.curl"],
            "header = \"Host: a\\\"\\\\b\"\nheader = \"accept:\"\nheader = \"X;\"\nheader = \"User-Agent: kube-probe/1.36\"\n"
        );
        assert!(found["b/readiness"].starts_with("action=tcp\nhost=\nport=80\n"));
        let grpc = files(json!({"livenessProbe": {"grpc": {"port": 9, "service": "s"}}})).unwrap();
        assert_eq!(grpc["b/liveness.grpc"], "\0\0\0\0\u{3}\n\u{1}s");
        for bad in [
            json!({"tcpSocket": {"port": "nowhere"}}),
            json!({"tcpSocket": {"port": 0}}),
            json!({"tcpSocket": {"port": 1, "host": "-K"}}),
            json!({"httpGet": {"port": 1, "httpHeaders": [{"name": "a", "value": "b\r\nc: d"}]}}),
            json!({}),
        ] {
            assert!(matches!(files(json!({"livenessProbe": bad})), Err(Fault::Rejected(_))));
        }
    }

    #[test]
    fn hooks_become_files() {
        let found = files(json!({"lifecycle": {
            "postStart": {"exec": {"command": ["echo", "$(A)"]}}, "preStop": {"sleep": {"seconds": 3}}}}))
        .unwrap();
        assert_eq!(found["b/post_start"], "action=exec\n");
        assert_eq!(found["b/post_start.exec"], "=echo\n=$(A)\n");
        assert_eq!(found["b/pre_stop"], "action=sleep\nseconds=3\n");
        assert!(!found.contains_key("b/said"));
    }

    #[test]
    fn a_containers_own_policy_and_its_rules() {
        let of = |init, fields| pairs(init, &container(fields)).unwrap();
        assert_eq!(of(true, json!({"restartPolicy": "Always"})), []);
        assert_eq!(
            of(
                false,
                json!({"restartPolicy": "Never", "restartPolicyRules": [
                {"action": "Restart", "exitCodes": {"operator": "In", "values": [42, 7]}},
                {"action": "Restart", "exitCodes": {"operator": "NotIn", "values": [0]}}]})
            ),
            [
                ("restart", "Never".to_owned()),
                ("restart_rules", "In:,42,7, NotIn:,0,".to_owned())
            ]
        );
        assert_eq!(
            of(
                false,
                json!({"terminationMessagePolicy": "FallbackToLogsOnError", "lifecycle": {"stopSignal": "SIGUSR1"}})
            ),
            [("message", "logs".to_owned()), ("stop_signal", "10".to_owned())]
        );
    }

    #[test]
    fn signals_have_their_numbers() {
        for (name, number) in [
            ("SIGHUP", Some(1)),
            ("SIGTERM", Some(15)),
            ("SIGSYS", Some(31)),
            ("SIGRTMIN", Some(34)),
            ("SIGRTMIN+15", Some(49)),
            ("SIGRTMAX-14", Some(50)),
            ("SIGRTMAX", Some(64)),
            ("SIGRTMAX+1", None),
            ("SIGRTMIN+200", None),
            ("TERM", None),
            ("SIGNONE", None),
        ] {
            assert_eq!(signal(name), number, "{name}");
        }
    }
}
