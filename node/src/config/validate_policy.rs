//! What types cannot say about what pods may ask for.

use towline_core::places;
use towline_core::settings::{NAMES, Setting, check};

use super::names::{is_key, is_subdomain};
use super::node::Node;
use super::path::Place;
use super::validate::Findings;

/// Checks `policy`, `flavours` and `defaultFlavour` of a node.
pub fn policy(node: &Node, place: &Place, findings: &mut Findings<'_>) {
    let own = place.key("policy");
    let policy = &node.policy;
    for (index, name) in policy.annotations.iter().flatten().enumerate() {
        known(name, &own.key("annotations").index(index), findings);
    }
    for (name, values) in &policy.values {
        let place = own.key("values").key(name.as_str());
        if let Some(setting) = known(name, &place, findings) {
            for (index, value) in values.iter().enumerate() {
                setting_fits(setting, value, &place.index(index), findings);
            }
        }
    }
    for (index, open) in policy.host_paths.iter().enumerate() {
        directory(&open.path, &own.key("hostPaths").index(index).key("path"), findings);
    }
    for (index, rule) in policy.volumes.iter().enumerate() {
        let place = own.key("volumes").index(index);
        let fits =
            places::clean(&rule.from).is_some() || rule.from.starts_with("nfs://") || rule.from.starts_with("csi://");
        findings.expect(fits, &place.key("from"), || {
            format!(
                "{:?} is no source of a volume: write /path, nfs://server/path or csi://driver",
                rule.from
            )
        });
        directory(&rule.to, &place.key("to"), findings);
    }
    for (class, runtime) in &policy.runtime_classes {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        findings.expect(
            !runtime.is_empty() && runtime.chars().all(fits),
            &own.key("runtimeClasses").key(class.as_str()),
            || format!("{runtime:?} is no name of a container runtime: use a-z, 0-9, - and _"),
        );
    }
    for (resource, word) in &policy.gres {
        let place = own.key("gres").key(resource.as_str());
        findings.expect(is_key(resource) && resource.contains('/'), &place, || {
            format!("{resource:?} is no extended resource: write for example example.org/fpga")
        });
        setting_fits(Setting::Gres, word, &place, findings);
    }
    findings.expect(
        is_subdomain(&policy.cluster_domain, 63),
        &own.key("clusterDomain"),
        || format!("{:?} is no domain", policy.cluster_domain),
    );
    flavours(node, place, findings);
}

fn flavours(node: &Node, place: &Place, findings: &mut Findings<'_>) {
    let mut names = Vec::new();
    for (index, flavour) in node.flavours.iter().enumerate() {
        let place = place.key("flavours").index(index);
        let fresh = !flavour.name.is_empty() && !names.contains(&flavour.name.as_str());
        findings.expect(fresh, &place.key("name"), || {
            "each flavour needs a name of its own".to_owned()
        });
        names.push(flavour.name.as_str());
        for (name, value) in &flavour.settings {
            let place = place.key("settings").key(name.as_str());
            if let Some(setting) = known(name, &place, findings) {
                setting_fits(setting, value, &place, findings);
            }
        }
    }
    if let Some(name) = &node.default_flavour {
        findings.expect(names.contains(&name.as_str()), &place.key("defaultFlavour"), || {
            format!("there is no flavour {name:?}; there are: {}", names.join(", "))
        });
    }
}

fn known(name: &str, place: &Place, findings: &mut Findings<'_>) -> Option<Setting> {
    let setting = Setting::of(name);
    findings.expect(setting.is_some(), place, || {
        let names: Vec<&str> = NAMES.iter().map(|(_, name, _)| *name).collect();
        format!("there is no annotation {name:?}; there are {}", names.join(", "))
    });
    setting
}

fn setting_fits(setting: Setting, value: &str, place: &Place, findings: &mut Findings<'_>) {
    if let Err(why) = check(setting, value) {
        findings.add(place, why);
    }
}

fn directory(path: &str, place: &Place, findings: &mut Findings<'_>) {
    let usable = places::clean(path).is_some() && !path.contains("//");
    findings.expect(usable, place, || {
        format!("{path:?} is no directory of the cluster: it begins with /, without `..` and `//`")
    });
}
