//! A pod's names: its host's name, and what it adds to the node's `/etc/hosts` and `/etc/resolv.conf`.
//!
//! Source: `pkg/kubelet/kubelet_pods.go` (`hostsFileContent`) and `pkg/kubelet/network/dns/dns.go`.

use k8s_openapi::api::core::v1::{PodDNSConfig, PodSpec};

use crate::bundle::Bundle;
use crate::mounts::Mount;
use crate::translate::Fault;

/// The longest host name of Linux.
const LONGEST: usize = 64;

/// The name of the pod's host, as its containers see it.
///
/// # Errors
/// A full name that is too long, as on a kubelet.
pub fn hostname(spec: &PodSpec, name: &str, namespace: &str, domain: &str) -> Result<String, Fault> {
    if let Some(own) = spec.hostname_override.as_deref().filter(|own| !own.is_empty()) {
        return Ok(own.to_owned());
    }
    let short = spec.hostname.clone().filter(|own| !own.is_empty());
    let short = short.unwrap_or_else(|| name.chars().take(63).collect());
    let short = short.trim_end_matches(['-', '.']);
    let subdomain = spec.subdomain.as_deref().filter(|subdomain| !subdomain.is_empty());
    let Some(subdomain) = subdomain.filter(|_| spec.set_hostname_as_fqdn == Some(true)) else {
        return Ok(short.to_owned());
    };
    let full = format!("{short}.{subdomain}.{namespace}.svc.{domain}");
    if full.len() > LONGEST {
        return Err(Fault::incomplete(format!(
            "the pod's full host name {full} is too long: {} characters, {LONGEST} is the most",
            full.len()
        )));
    }
    Ok(full)
}

/// A file of the node that the pod adds to: the beginning of the source, which the container's name completes, and the target.
pub type NameFile = (&'static str, &'static str);

/// Writes what the pod adds, and says what each container has to mount for it (see [`mounts_of`]).
///
/// # Errors
/// An address or name that can be none.
pub fn add(bundle: &mut Bundle, spec: &PodSpec) -> Result<Vec<NameFile>, Fault> {
    let mut mounts = Vec::new();
    let aliases = spec.host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        let mut text = String::from("\n# Entries added by HostAliases.\n");
        for alias in aliases {
            let names = alias.hostnames.as_deref().unwrap_or_default();
            address("hostAliases", &alias.ip)?;
            names.iter().try_for_each(|name| word("hostAliases", name))?;
            text.push_str(&format!("{}\t{}\n", alias.ip, names.join("\t")));
        }
        bundle.directory("etc", 0o700);
        bundle.file("etc/aliases", text);
        mounts.push(("etc/hosts.", "/etc/hosts"));
    }
    let alone = spec.dns_policy.as_deref() == Some("None");
    if let Some(config) = &spec.dns_config {
        bundle.directory("etc", 0o700);
        bundle.file(
            if alone { "etc/resolver.only" } else { "etc/resolver" },
            resolver(config)?,
        );
        mounts.push(("etc/resolv.conf.", "/etc/resolv.conf"));
    } else if alone {
        return Err(Fault::rejected("InvalidPod", "dnsPolicy None needs a dnsConfig"));
    }
    Ok(mounts)
}

/// The mounts of one container; what it mounts itself goes before.
pub fn mounts_of(files: &[NameFile], container: &str, own: &[Mount]) -> Vec<Mount> {
    let free = |target: &str| !own.iter().any(|[_, taken, _]| taken == target);
    let mounts = files.iter().filter(|(_, target)| free(target));
    mounts
        .map(|(source, target)| [format!("{source}{container}"), (*target).to_owned(), "rw".to_owned()])
        .collect()
}

fn resolver(config: &PodDNSConfig) -> Result<String, Fault> {
    let mut text = String::new();
    for server in config.nameservers.iter().flatten() {
        address("dnsConfig", server)?;
        text.push_str(&format!("nameserver {server}\n"));
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    searches.iter().try_for_each(|domain| word("dnsConfig", domain))?;
    if !searches.is_empty() {
        text.push_str(&format!("search {}\n", searches.join(" ")));
    }
    let mut options = Vec::new();
    for option in config.options.iter().flatten() {
        let name = option.name.as_deref().unwrap_or_default();
        word("dnsConfig", name)?;
        match option.value.as_deref().filter(|value| !value.is_empty()) {
            Some(value) => {
                word("dnsConfig", value)?;
                options.push(format!("{name}:{value}"));
            }
            None => options.push(name.to_owned()),
        }
    }
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    Ok(text)
}

fn address(field: &str, text: &str) -> Result<(), Fault> {
    text.parse::<std::net::IpAddr>()
        .map(|_| ())
        .map_err(|_| Fault::rejected("InvalidPod", format!("{field}: {text:?} is no IP address")))
}

fn word(field: &str, text: &str) -> Result<(), Fault> {
    let fits = |c: char| c.is_ascii_graphic() && c != '#';
    if !text.is_empty() && text.chars().all(fits) {
        Ok(())
    } else {
        Err(Fault::rejected("InvalidPod", format!("{field}: {text:?} is no name")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Entry;
    use serde_json::{Value, json};

    fn spec(value: Value) -> PodSpec {
        let mut value = value;
        value["containers"] = json!([]);
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_host_is_named_as_by_a_kubelet() {
        let name = |value: Value| hostname(&spec(value), "pod-a", "ns", "cluster.local");
        assert_eq!(name(json!({})).unwrap(), "pod-a");
        assert_eq!(name(json!({"hostname": "h", "subdomain": "s"})).unwrap(), "h");
        assert_eq!(
            name(json!({"hostname": "h", "subdomain": "s", "setHostnameAsFQDN": true})).unwrap(),
            "h.s.ns.svc.cluster.local"
        );
        assert_eq!(name(json!({"setHostnameAsFQDN": true})).unwrap(), "pod-a");
        assert_eq!(
            name(json!({"hostname": "h", "hostnameOverride": "o.example"})).unwrap(),
            "o.example"
        );
        let long = json!({"subdomain": "s".repeat(60), "setHostnameAsFQDN": true});
        assert!(matches!(name(long), Err(Fault::Incomplete { .. })));
    }

    fn files(value: Value) -> Result<(Bundle, Vec<NameFile>), Fault> {
        let mut bundle = Bundle::default();
        let mounts = add(&mut bundle, &spec(value))?;
        Ok((bundle, mounts))
    }

    #[test]
    fn names_and_resolvers_become_files() {
        let (bundle, mounts) = files(json!({
            "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["a", "b.example"]}],
            "dnsPolicy": "None",
            "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": ["x.example", "y"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}
        }))
        .unwrap();
        let text = |path: &str| match &bundle.entries[path] {
            Entry::File(_, content) => String::from_utf8(content.clone()).unwrap(),
            other => panic!("{other:?}"),
        };
        assert!(text("etc/aliases").ends_with("10.1.2.3\ta\tb.example\n"));
        assert_eq!(
            text("etc/resolver.only"),
            "nameserver 192.0.2.1\nsearch x.example y\noptions ndots:2 edns0\n"
        );
        let own = [["volumes/v".to_owned(), "/etc/hosts".to_owned(), "ro".to_owned()]];
        assert_eq!(
            mounts_of(&mounts, "c", &own),
            [["etc/resolv.conf.c", "/etc/resolv.conf", "rw"]]
        );
        assert!(files(json!({})).unwrap().1.is_empty());
    }

    #[test]
    fn nothing_but_names_reaches_the_files() {
        for bad in [
            json!({"hostAliases": [{"ip": "x", "hostnames": ["a"]}]}),
            json!({"hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a\n2.2.2.2 b"]}]}),
            json!({"dnsConfig": {"searches": ["a b"]}}),
            json!({"dnsConfig": {"options": [{"name": "x\ny"}]}}),
            json!({"dnsPolicy": "None"}),
        ] {
            assert!(matches!(files(bad), Err(Fault::Rejected(_))));
        }
    }
}
