//! What types cannot say about a node.

use towline_core::quantity;

use super::names::{is_key, is_label_of_nodes, is_label_value, is_subdomain};
use super::node::Node;
use super::path::Place;
use super::validate::{Findings, unreachable_address};
use super::validate_policy::policy;

/// Checks one node.
pub fn node(node: &Node, place: &Place, findings: &mut Findings<'_>) {
    findings.expect(is_subdomain(&node.name, 63), &place.key("name"), || {
        let name = &node.name;
        format!("{name:?} cannot be a node's name: use 1 to 63 of a-z, 0-9, - and ., letters or digits at both ends")
    });
    findings.token(&place.key("partition"), node.partition.as_deref());
    findings.token(&place.key("account"), node.account.as_deref());
    findings.token(&place.key("qos"), node.qos.as_deref());
    findings.token(&place.key("gpuType"), node.gpu_type.as_deref());
    if let Some(address) = node.address {
        findings.expect(!address.is_unspecified(), &place.key("address"), || {
            unreachable_address(address)
        });
    }
    metadata(node, place, findings);
    resources(node, place, findings);
    policy(node, place, findings);
}

fn metadata(node: &Node, place: &Place, findings: &mut Findings<'_>) {
    let no_key = |key: &str| format!("{key:?} is no key as Kubernetes has them: name, or prefix.example.org/name");
    let no_value = |value: &str| {
        format!("{value:?} is no value of a label: use up to 63 of A-Z a-z 0-9 - _ ., letters or digits at both ends")
    };
    for (key, value) in &node.labels {
        let place = place.key("labels").key(key.as_str());
        findings.expect(is_key(key), &place, || no_key(key));
        findings.expect(is_label_value(value), &place, || no_value(value));
        findings.expect(is_label_of_nodes(key), &place, || {
            "the API server lets no node label itself so: use a prefix of your own".to_owned()
        });
    }
    for key in node.annotations.keys() {
        let place = place.key("annotations").key(key.as_str());
        findings.expect(is_key(&key.to_lowercase()), &place, || no_key(key));
    }
    for (index, taint) in node.taints.iter().flatten().enumerate() {
        let place = place.key("taints").index(index);
        findings.expect(is_key(&taint.key), &place.key("key"), || no_key(&taint.key));
        let value = taint.value.as_deref().unwrap_or_default();
        findings.expect(is_label_value(value), &place.key("value"), || no_value(value));
    }
}

fn resources(node: &Node, place: &Place, findings: &mut Findings<'_>) {
    findings.expect(node.max_pods != Some(0), &place.key("maxPods"), || {
        "a node for no pod is no node".to_owned()
    });
    let name = node.gpu_resource.as_str();
    findings.expect(is_key(name) && name.contains('/'), &place.key("gpuResource"), || {
        format!("{name:?} is no extended resource: write for example nvidia.com/gpu")
    });
    for (name, amount) in &node.capacity {
        let place = place.key("capacity").key(name.as_str());
        let known = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str());
        findings.expect(name != "pods", &place, || "use maxPods".to_owned());
        findings.expect(
            known || name == "pods" || is_key(name) && name.contains('/'),
            &place,
            || format!("{name:?} is no resource: there are cpu, memory, ephemeral-storage and vendor.example/name"),
        );
        let whole = quantity::milli(amount.as_str()).is_ok_and(|milli| milli % 1000 == 0);
        findings.expect(!name.contains('/') || whole, &place, || {
            format!(
                "an extended resource is counted in whole ones, not {:?}",
                amount.as_str()
            )
        });
    }
    for (key, amount) in [("cpu", &node.defaults.cpu), ("memory", &node.defaults.memory)] {
        findings.expect(amount.whole() > 0, &place.key("defaults").key(key), || {
            "a pod needs some".to_owned()
        });
    }
    if let (Some(default), Some(longest)) = (node.defaults.walltime, node.max_walltime) {
        findings.expect(default <= longest, &place.key("defaults").key("walltime"), || {
            format!("{default} is more than maxWalltime, {longest}")
        });
    }
}
