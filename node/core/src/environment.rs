//! A container's environment: `env`, `envFrom`, the downward API, service variables and `$(VAR)`.
//!
//! Source: `pkg/kubelet/kubelet_pods.go` (`makeEnvironmentVariables`) and `third_party/forked/golang/expansion`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, Pod, Service};

use crate::quantity;
use crate::quoted::quoted;
use crate::translate::{Fault, References};

/// Expands `$(NAME)` from `variables`; `$$` is one dollar sign; what is not defined stays as it is.
pub fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match variables.get(name) {
                Some(value) => out.push_str(value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The variables of a container, in the order in which they are set.
///
/// # Errors
/// A [`Fault`]: a reference that is missing (to be retried) or cannot be honoured.
pub fn of(pod: &Pod, container: &Container, references: &References) -> Result<Vec<(String, String)>, Fault> {
    let mut environment = Environment::default();
    let links = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.enable_service_links)
        .unwrap_or(true);
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let mut services = service_variables(&references.services, namespace, links);

    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        if let Some(wanted) = &source.config_map_ref
            && let Some(found) = references.config_map(&wanted.name, wanted.optional)?
        {
            for (key, value) in found.data.iter().flatten() {
                environment.set(format!("{prefix}{key}"), value.clone());
            }
        }
        if let Some(wanted) = &source.secret_ref
            && let Some(found) = references.secret(&wanted.name, wanted.optional)?
        {
            for (key, value) in found.data.iter().flatten() {
                let value = text_of(&value.0, "secret", &wanted.name, key)?;
                environment.set(format!("{prefix}{key}"), value);
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let mut known = services.clone();
        known.extend(environment.values.clone());
        if let Some(value) = value_of(pod, container, variable, references, &known)? {
            services.remove(&variable.name);
            environment.set(variable.name.clone(), value);
        }
    }
    // Service variables come last and never override what the pod says.
    for (name, value) in services {
        if !environment.values.contains_key(&name) {
            environment.set(name, value);
        }
    }
    for name in &environment.order {
        if name.is_empty() || name.contains('=') || name.bytes().any(|b| !(0x20..0x7f).contains(&b)) {
            return Err(Fault::rejected(
                "InvalidEnvironment",
                format!("{name:?} cannot be the name of an environment variable"),
            ));
        }
    }
    Ok(environment.into_pairs())
}

/// Whether a variable that may bring a secret has a name that no shell can export (see `is_variable` in
/// `remote-scripts/lib/container.sh`): it has to be set in a way that shows it to nobody.
pub fn hides(container: &Container, references: &References) -> bool {
    let own = container.env.iter().flatten().any(|variable| {
        let source = variable.value_from.as_ref();
        // (What is put into a value may be a secret as well.)
        let secret = source.is_some_and(|source| source.secret_key_ref.is_some())
            || variable.value.as_ref().is_some_and(|value| value.contains("$("));
        secret && !is_exported(&variable.name)
    });
    let taken = container.env_from.iter().flatten().any(|source| {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let wanted = source.secret_ref.as_ref();
        let found = wanted.and_then(|wanted| references.secret(&wanted.name, wanted.optional).ok()?);
        let mut keys = found.iter().flat_map(|found| found.data.iter().flatten());
        keys.any(|(key, _)| !is_exported(&format!("{prefix}{key}")))
    });
    own || taken
}

fn is_exported(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    // (Of those that a shell uses itself, more than it does: there is another way for them.)
    let own = [
        "BASH", "COMP_", "DIRSTACK", "EPOCH", "EUID", "FUNC", "GROUPS", "HIST", "IFS", "LC_ALL", "LF", "LINENO",
        "OLDPWD",
    ];
    let more = [
        "OPT",
        "PPID",
        "PS",
        "PWD",
        "RANDOM",
        "SECONDS",
        "SHELLOPTS",
        "SHLVL",
        "SRANDOM",
        "TMOUT",
        "TOWLINE_",
        "UID",
        "US",
    ];
    plain && first && name != "_" && !own.iter().chain(&more).any(|begin| name.starts_with(begin))
}

#[derive(Default)]
struct Environment {
    order: Vec<String>,
    values: BTreeMap<String, String>,
}

impl Environment {
    fn set(&mut self, name: String, value: String) {
        if self.values.insert(name.clone(), value).is_none() {
            self.order.push(name);
        }
    }

    fn into_pairs(mut self) -> Vec<(String, String)> {
        self.order
            .into_iter()
            .filter_map(|name| self.values.remove_entry(&name))
            .collect()
    }
}

fn value_of(
    pod: &Pod,
    container: &Container,
    variable: &EnvVar,
    references: &References,
    known: &BTreeMap<String, String>,
) -> Result<Option<String>, Fault> {
    if let Some(value) = &variable.value {
        return Ok(Some(expand(value, known)));
    }
    let Some(source) = &variable.value_from else {
        return Ok(Some(String::new()));
    };
    if let Some(key) = &source.config_map_key_ref {
        let optional = key.optional.unwrap_or(false);
        let Some(found) = references.config_map(&key.name, key.optional)? else {
            return Ok(None);
        };
        return match found.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => Ok(Some(value.clone())),
            None if optional => Ok(None),
            None => Err(Fault::incomplete(format!(
                "couldn't find key {} in ConfigMap {}",
                key.key, key.name
            ))),
        };
    }
    if let Some(key) = &source.secret_key_ref {
        let optional = key.optional.unwrap_or(false);
        let Some(found) = references.secret(&key.name, key.optional)? else {
            return Ok(None);
        };
        return match found.data.as_ref().and_then(|data| data.get(&key.key)) {
            Some(value) => text_of(&value.0, "secret", &key.name, &key.key).map(Some),
            None if optional => Ok(None),
            None => Err(Fault::incomplete(format!(
                "couldn't find key {} in Secret {}",
                key.key, key.name
            ))),
        };
    }
    if let Some(field) = &source.field_ref {
        return downward_field(pod, &field.field_path).map(Some);
    }
    if let Some(field) = &source.resource_field_ref {
        let divisor = field.divisor.as_ref().map(|q| q.0.as_str());
        let named = field.container_name.as_deref().unwrap_or(&container.name);
        return downward_resource(pod, named, &field.resource, divisor).map(Some);
    }
    Err(Fault::rejected(
        "UnsupportedField",
        format!("the source of variable {} is not supported", variable.name),
    ))
}

fn text_of(bytes: &[u8], kind: &str, name: &str, key: &str) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        Fault::rejected(
            "InvalidEnvironment",
            format!(
                "key {key} of {kind} {name} is not UTF-8 text and cannot be an environment variable; mount it as a file"
            ),
        )
    })
}

/// What stands for the address of the pod's node in what is sent: the supervisor, which knows it, puts it into the files of
/// the containers that have a file `address`.
pub fn address(pod: &Pod) -> String {
    format!("towline-address-{}", pod.metadata.uid.as_deref().unwrap_or_default())
}

/// A field of the downward API.
///
/// # Errors
/// A field that does not exist.
pub fn downward_field(pod: &Pod, path: &str) -> Result<String, Fault> {
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let keyed = |map: &Option<BTreeMap<String, String>>, key: &str| {
        map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default()
    };
    let all = |map: &Option<BTreeMap<String, String>>| {
        let rows: Vec<String> = map
            .iter()
            .flatten()
            .map(|(key, value)| format!("{key}={}", quoted(value)))
            .collect();
        rows.join("\n")
    };
    let subscript = |field: &str| path.strip_prefix(field)?.strip_prefix("['")?.strip_suffix("']");
    if let Some(key) = subscript("metadata.labels") {
        return Ok(keyed(&metadata.labels, key));
    }
    if let Some(key) = subscript("metadata.annotations") {
        return Ok(keyed(&metadata.annotations, key));
    }
    match path {
        "metadata.name" => Ok(metadata.name.clone().unwrap_or_default()),
        "metadata.namespace" => Ok(metadata.namespace.clone().unwrap_or_default()),
        "metadata.uid" => Ok(metadata.uid.clone().unwrap_or_default()),
        "metadata.labels" => Ok(all(&metadata.labels)),
        "metadata.annotations" => Ok(all(&metadata.annotations)),
        "spec.nodeName" => Ok(spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default()),
        "spec.serviceAccountName" => Ok(spec
            .and_then(|spec| spec.service_account_name.clone())
            .unwrap_or_default()),
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => Ok(address(pod)),
        _ => Err(Fault::rejected(
            "UnsupportedField",
            format!("the downward API has no field {path}"),
        )),
    }
}

/// A container's resource through the downward API, divided and rounded up.
///
/// # Errors
/// An unknown container or resource, or a quantity that cannot be read.
pub fn downward_resource(pod: &Pod, container: &str, resource: &str, divisor: Option<&str>) -> Result<String, Fault> {
    let spec = pod.spec.as_ref();
    let found = spec
        .into_iter()
        .flat_map(|spec| spec.containers.iter().chain(spec.init_containers.iter().flatten()))
        .find(|candidate| candidate.name == container)
        .ok_or_else(|| {
            Fault::rejected(
                "UnsupportedField",
                format!("resourceFieldRef names container {container}, which the pod does not have"),
            )
        })?;
    let (side, name) = resource.split_once('.').unwrap_or(("", resource));
    let resources = found.resources.as_ref();
    let limit = resources.and_then(|r| r.limits.as_ref()).and_then(|map| map.get(name));
    let request = resources
        .and_then(|r| r.requests.as_ref())
        .and_then(|map| map.get(name));
    let chosen = match side {
        "limits" => limit,
        "requests" => request,
        _ => {
            return Err(Fault::rejected(
                "UnsupportedField",
                format!("there is no resource field {resource}"),
            ));
        }
    };
    // (Where neither is there, `job::shown` has put in what the job gets.)
    let text = chosen.or(limit).or(request).map_or("0", |quantity| quantity.0.as_str());
    let divisor = divisor.filter(|text| !text.is_empty() && *text != "0").unwrap_or("1");
    let read =
        |text: &str| quantity::milli(text).map_err(|error| Fault::rejected("UnsupportedField", error.to_string()));
    Ok(read(text)?.div_ceil(read(divisor)?.max(1)).to_string())
}

/// The Docker-link style variables of the services that a pod sees.
fn service_variables(services: &[Service], namespace: &str, links: bool) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for service in services {
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let in_namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let master = in_namespace == "default" && name == "kubernetes";
        if !(master || links && in_namespace == namespace) {
            continue;
        }
        let Some(spec) = &service.spec else { continue };
        let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else {
            continue;
        };
        let upper = name.to_uppercase().replace('-', "_");
        let ports = spec.ports.as_deref().unwrap_or_default();
        let Some(first) = ports.first() else { continue };
        out.insert(format!("{upper}_SERVICE_HOST"), ip.to_owned());
        out.insert(format!("{upper}_SERVICE_PORT"), first.port.to_string());
        let host = if ip.contains(':') {
            format!("[{ip}]")
        } else {
            ip.to_owned()
        };
        for (n, port) in ports.iter().enumerate() {
            if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
                let port_name = port_name.to_uppercase().replace('-', "_");
                out.insert(format!("{upper}_SERVICE_PORT_{port_name}"), port.port.to_string());
            }
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
            if n == 0 {
                out.insert(format!("{upper}_PORT"), url.clone());
            }
            let base = format!("{upper}_PORT_{}_{}", port.port, protocol.to_uppercase());
            out.insert(base.clone(), url);
            out.insert(format!("{base}_PROTO"), protocol.to_lowercase());
            out.insert(format!("{base}_PORT"), port.port.to_string());
            out.insert(format!("{base}_ADDR"), ip.to_owned());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::Secret;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    #[test]
    fn a_secret_under_a_name_that_no_shell_exports_is_to_be_hidden() {
        let secret: Secret = serde_json::from_value(
            json!({"metadata": {"name": "s"}, "data": {"my.password": "eA==", "plain": "eA=="}}),
        )
        .unwrap();
        let references = References {
            secrets: BTreeMap::from([("s".to_owned(), secret)]),
            ..References::default()
        };
        let of = |container: Value| hides(&serde_json::from_value(container).unwrap(), &references);
        let reference = json!({"secretKeyRef": {"name": "s", "key": "plain"}});
        for (name, expected) in [
            ("A_b1", false),
            ("a-b", true),
            ("1A", true),
            ("UID", true),
            ("IFS", true),
            ("TOWLINE_X", true),
        ] {
            let container = json!({"name": "c", "env": [{"name": name, "valueFrom": reference}]});
            assert_eq!(of(container), expected, "{name}");
            assert!(
                !of(json!({"name": "c", "env": [{"name": name, "value": "open"}]})),
                "{name}"
            );
        }
        assert!(of(json!({"name": "c", "env": [{"name": "a.b", "value": "-$(A)"}]})));
        assert!(of(json!({"name": "c", "envFrom": [{"secretRef": {"name": "s"}}]})));
        assert!(!of(json!({"name": "c", "envFrom": [{"configMapRef": {"name": "s"}}]})));
    }

    #[test]
    fn variables_expand_as_in_a_kubelet() {
        let known = BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "$(A)".to_owned())]);
        for (text, expected) in [
            ("$(A)", "1"),
            ("$(B)", "$(A)"),
            ("$$(A)", "$(A)"),
            ("$$$(A)", "$1"),
            ("$(C)", "$(C)"),
            ("$(A", "$(A"),
            ("a$", "a$"),
            ("$A", "$A"),
            ("$()", "$()"),
            ("x$(A)y$(A)", "x1y1"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
    }

    #[test]
    fn later_variables_see_earlier_ones_only() {
        let pod: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "env": [
                {"name": "LATE", "value": "$(EARLY)"}, {"name": "EARLY", "value": "1"}, {"name": "BOTH", "value": "$(EARLY)"},
                {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}
            ]}]}
        }))
        .unwrap();
        let container = &pod.spec.as_ref().unwrap().containers[0];
        let found = of(&pod, container, &References::default()).unwrap();
        let text: Vec<String> = found.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["LATE=$(EARLY)", "EARLY=1", "BOTH=1", "LABEL=b"]);
    }

    proptest! {
        #[test]
        fn text_without_dollar_is_unchanged(text in "[^$]*") {
            prop_assert_eq!(expand(&text, &BTreeMap::new()), text);
        }

        #[test]
        fn expansion_never_panics(text in "[$()A-C]{0,20}") {
            let _ = expand(&text, &BTreeMap::from([("A".to_owned(), "ü".to_owned())]));
        }
    }
}
