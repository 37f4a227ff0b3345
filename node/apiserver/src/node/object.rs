//! What has to be written so that a Node is as its description says, and everything else on it stays.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{DaemonEndpoint, Node, NodeDaemonEndpoints, NodeSpec, NodeStatus, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};
use towline_core::quantity;

use crate::node::applied::{APPLIED, Applied, taints};
use crate::node::{NodeDescription, conditions};

/// The annotation that says which process keeps the node.
pub(crate) const INSTANCE: &str = "towline.dev/instance";
/// The Node to create, with its status. Transient taints come later: where they may not be removed again they must not be
/// set at registration.
pub(crate) fn create(name: &str, instance: &str, description: &NodeDescription, now: Timestamp) -> Node {
    let mut annotations = description.annotations.clone();
    annotations.insert(INSTANCE.to_owned(), instance.to_owned());
    annotations.insert(
        APPLIED.to_owned(),
        Applied::of(description, description.taints.iter()).text(),
    );
    let specs = conditions::wanted(description, &[]);
    Node {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(description.labels.clone()),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(NodeSpec {
            taints: Some(description.taints.clone()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus {
            addresses: Some(description.addresses.clone()),
            capacity: Some(description.capacity.clone()),
            allocatable: Some(description.allocatable.clone()),
            conditions: conditions::changed(&[], &specs, now),
            daemon_endpoints: Some(endpoints(description)),
            images: description.images.clone(),
            node_info: Some(description.node_info.clone()),
            ..NodeStatus::default()
        }),
    }
}

fn endpoints(description: &NodeDescription) -> NodeDaemonEndpoints {
    NodeDaemonEndpoints {
        kubelet_endpoint: Some(DaemonEndpoint {
            port: description.kubelet_port,
        }),
    }
}

/// A merge patch for labels, annotations and (`with_taints`) taints; `None` if they are as they should be. It holds the
/// resourceVersion, since taints are written as a whole.
pub(crate) fn metadata_patch(
    node: &Node,
    instance: &str,
    description: &NodeDescription,
    with_taints: bool,
) -> Option<Value> {
    let record = Applied::on(node);
    let mut next = Applied::of(description, description.all_taints());
    let old_taints = node
        .spec
        .as_ref()
        .and_then(|spec| spec.taints.clone())
        .unwrap_or_default();
    let new_taints = taints(&old_taints, description, &record);
    let taints_differ = with_taints && old_taints != new_taints;
    if !with_taints {
        next.taints = record.taints.clone();
    }
    // The resources belong to the other patch: forgotten here only after they were removed there.
    next.resources
        .extend(record.resources.iter().filter(|name| has_resource(node, name)).cloned());

    let mut wanted = description.annotations.clone();
    wanted.insert(INSTANCE.to_owned(), instance.to_owned());
    wanted.insert(APPLIED.to_owned(), next.text());
    let labels = differences(node.metadata.labels.as_ref(), &description.labels, &record.labels);
    let annotations = differences(node.metadata.annotations.as_ref(), &wanted, &record.annotations);
    if labels.is_empty() && annotations.is_empty() && !taints_differ {
        return None;
    }
    let mut patch = json!({"metadata": {"resourceVersion": node.metadata.resource_version}});
    if !labels.is_empty() {
        patch["metadata"]["labels"] = Value::Object(labels);
    }
    if !annotations.is_empty() {
        patch["metadata"]["annotations"] = Value::Object(annotations);
    }
    if taints_differ {
        patch["spec"] = json!({"taints": new_taints});
    }
    Some(patch)
}

/// What a merge patch has to say about a map: values that differ, null for what was ours and is no more.
fn differences(
    have: Option<&BTreeMap<String, String>>,
    want: &BTreeMap<String, String>,
    ours: &BTreeSet<String>,
) -> Map<String, Value> {
    let empty = BTreeMap::new();
    let have = have.unwrap_or(&empty);
    let changed = want.iter().filter(|(key, value)| have.get(*key) != Some(value));
    let gone = ours
        .iter()
        .filter(|key| !want.contains_key(*key) && have.contains_key(*key));
    changed
        .map(|(key, value)| (key.clone(), Value::String(value.clone())))
        .chain(gone.map(|key| (key.clone(), Value::Null)))
        .collect()
}

/// A strategic merge patch for the status; `None` if it is as it should be and was said recently.
pub(crate) fn status_patch(
    node: &Node,
    description: &NodeDescription,
    refused: &[Taint],
    now: Timestamp,
) -> Option<Value> {
    let empty = NodeStatus::default();
    let have = node.status.as_ref().unwrap_or(&empty);
    let mut patch = Map::new();
    let specs = conditions::wanted(description, refused);
    if let Some(conditions) = conditions::changed(have.conditions.as_deref().unwrap_or_default(), &specs, now) {
        patch.insert("conditions".to_owned(), json!(conditions));
    }
    let ours = Applied::on(node).resources;
    for (field, have, want) in [
        ("capacity", &have.capacity, &description.capacity),
        ("allocatable", &have.allocatable, &description.allocatable),
    ] {
        let changes = resources(have.as_ref(), want, &ours);
        if !changes.is_empty() {
            patch.insert(field.to_owned(), Value::Object(changes));
        }
    }
    if have.addresses.as_deref().unwrap_or_default() != description.addresses {
        // Merged by type otherwise, which loses the second address of a type.
        let mut addresses: Vec<Value> = description.addresses.iter().map(|address| json!(address)).collect();
        addresses.push(json!({"$patch": "replace"}));
        patch.insert("addresses".to_owned(), Value::Array(addresses));
    }
    if let Some(images) = description
        .images
        .as_ref()
        .filter(|images| have.images.as_ref() != Some(images))
    {
        patch.insert("images".to_owned(), json!(images));
    }
    for (field, have, want) in [
        ("nodeInfo", json!(have.node_info), json!(description.node_info)),
        (
            "daemonEndpoints",
            json!(have.daemon_endpoints),
            json!(endpoints(description)),
        ),
    ] {
        if !contains(&have, &want) {
            patch.insert(field.to_owned(), want);
        }
    }
    (!patch.is_empty()).then(|| json!({"metadata": {"uid": node.metadata.uid}, "status": patch}))
}

fn resources(
    have: Option<&BTreeMap<String, Quantity>>,
    want: &BTreeMap<String, Quantity>,
    ours: &BTreeSet<String>,
) -> Map<String, Value> {
    let empty = BTreeMap::new();
    let have = have.unwrap_or(&empty);
    let changed = want
        .iter()
        .filter(|(name, value)| have.get(*name).is_none_or(|old| !same_quantity(&old.0, &value.0)));
    let gone = ours
        .iter()
        .filter(|name| !want.contains_key(*name) && have.contains_key(*name));
    changed
        .map(|(name, value)| (name.clone(), json!(value)))
        .chain(gone.map(|name| (name.clone(), Value::Null)))
        .collect()
}

fn has_resource(node: &Node, name: &str) -> bool {
    node.status.iter().any(|status| {
        [&status.capacity, &status.allocatable]
            .into_iter()
            .flatten()
            .any(|map| map.contains_key(name))
    })
}

/// The API server writes quantities its own way: `1024Mi` comes back as `1Gi`.
fn same_quantity(one: &str, two: &str) -> bool {
    if let (Ok(one), Ok(two)) = (quantity::milli(one), quantity::milli(two)) {
        return one == two;
    }
    match (quantity::units(one), quantity::units(two)) {
        (Ok(one), Ok(two)) => one == two,
        _ => one == two,
    }
}

/// Whether everything that `want` says is in `have` already.
fn contains(have: &Value, want: &Value) -> bool {
    match (have, want) {
        (Value::Object(have), Value::Object(want)) => want
            .iter()
            .all(|(key, value)| have.get(key).is_some_and(|found| contains(found, value))),
        _ => have == want,
    }
}

/// The owner that the Lease gets.
pub(crate) fn owner(node: &Node) -> Option<OwnerReference> {
    Some(OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.metadata.name.clone()?,
        uid: node.metadata.uid.clone()?,
        ..OwnerReference::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::applied::missing_taints;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn map<V: From<String>>(pairs: &[(&str, &str)]) -> BTreeMap<String, V> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), V::from((*value).to_owned())))
            .collect()
    }

    fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Quantity((*value).to_owned())))
            .collect()
    }

    fn taint(key: &str) -> Taint {
        Taint {
            key: key.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        }
    }

    fn description() -> NodeDescription {
        NodeDescription {
            labels: map(&[("kubernetes.io/os", "linux"), ("type", "virtual-kubelet")]),
            taints: vec![taint("towline.dev/hpc")],
            capacity: quantities(&[("cpu", "8"), ("memory", "1024Mi"), ("nvidia.com/gpu", "2")]),
            allocatable: quantities(&[("cpu", "8"), ("memory", "1024Mi"), ("nvidia.com/gpu", "2")]),
            kubelet_port: 10250,
            ..NodeDescription::default()
        }
    }

    fn node() -> Node {
        let mut node = create("hpc", "me", &description(), now());
        node.metadata.resource_version = Some("1".to_owned());
        node
    }

    #[test]
    fn a_node_just_created_needs_no_patch() {
        let mut node = node();
        // As the API server writes it.
        node.status
            .as_mut()
            .unwrap()
            .capacity
            .as_mut()
            .unwrap()
            .insert("memory".to_owned(), Quantity("1Gi".to_owned()));
        assert_eq!(metadata_patch(&node, "me", &description(), true), None);
        assert_eq!(status_patch(&node, &description(), &[], now()), None);
    }

    #[test]
    fn foreign_labels_taints_and_annotations_are_kept_and_ours_go_when_they_are_not_wanted_any_more() {
        let mut node = node();
        node.metadata
            .labels
            .as_mut()
            .unwrap()
            .insert("team".to_owned(), "blue".to_owned());
        node.metadata
            .annotations
            .as_mut()
            .unwrap()
            .insert("note".to_owned(), "x".to_owned());
        node.spec
            .as_mut()
            .unwrap()
            .taints
            .as_mut()
            .unwrap()
            .push(taint("admin"));
        let mut changed = description();
        changed.labels.remove("type");
        changed.labels.insert("partition".to_owned(), "gpu".to_owned());
        changed.taints = vec![taint("towline.dev/other")];
        let patch = metadata_patch(&node, "me", &changed, true).unwrap();
        assert_eq!(patch["metadata"]["labels"], json!({"partition": "gpu", "type": null}));
        assert_eq!(
            patch["metadata"]["annotations"].as_object().unwrap().len(),
            1,
            "only the record"
        );
        assert_eq!(patch["metadata"]["resourceVersion"], "1");
        let keys: Vec<&str> = patch["spec"]["taints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|taint| taint["key"].as_str().unwrap())
            .collect();
        assert_eq!(keys, ["admin", "towline.dev/other"]);
    }

    #[test]
    fn a_transient_taint_comes_and_goes_and_is_not_set_at_registration() {
        let mut down = description();
        down.transient_taints = vec![taint("towline.dev/unreachable")];
        let created = create("hpc", "me", &down, now());
        assert_eq!(created.spec.unwrap().taints.unwrap().len(), 1);
        let mut node = node();
        assert_eq!(missing_taints(&node, &down), [taint("towline.dev/unreachable")]);
        let mut lasting = description();
        lasting.taints.push(taint("towline.dev/late"));
        assert!(
            missing_taints(&node, &lasting).is_empty(),
            "pods that tolerate it must still come"
        );
        let patch = metadata_patch(&node, "me", &down, true).unwrap();
        assert_eq!(patch["spec"]["taints"].as_array().unwrap().len(), 2);
        // Applied, then gone again.
        let record = patch["metadata"]["annotations"][APPLIED].as_str().unwrap().to_owned();
        node.metadata
            .annotations
            .as_mut()
            .unwrap()
            .insert(APPLIED.to_owned(), record);
        node.spec.as_mut().unwrap().taints = serde_json::from_value(patch["spec"]["taints"].clone()).unwrap();
        let back = metadata_patch(&node, "me", &description(), true).unwrap();
        assert_eq!(back["spec"]["taints"].as_array().unwrap().len(), 1);
    }

    #[test]
    fn without_leave_to_change_taints_the_rest_is_still_written() {
        let mut changed = description();
        changed.taints.push(taint("towline.dev/more"));
        assert_eq!(metadata_patch(&node(), "me", &changed, false), None);
        changed.labels.insert("a".to_owned(), "b".to_owned());
        let patch = metadata_patch(&node(), "me", &changed, false).unwrap();
        assert!(patch.get("spec").is_none());
        assert!(
            !patch.to_string().contains("towline.dev/more"),
            "it is not ours until it is there"
        );
    }

    #[test]
    fn a_resource_that_went_away_is_removed_and_a_foreign_one_is_kept() {
        let mut node = node();
        let status = node.status.as_mut().unwrap();
        status
            .capacity
            .as_mut()
            .unwrap()
            .insert("example.com/dongle".to_owned(), Quantity("1".to_owned()));
        let mut changed = description();
        changed.capacity.remove("nvidia.com/gpu");
        changed.allocatable.remove("nvidia.com/gpu");
        let patch = status_patch(&node, &changed, &[], now()).unwrap();
        assert_eq!(patch["status"]["capacity"], json!({"nvidia.com/gpu": null}));
        assert!(patch["status"].get("conditions").is_none());
    }

    #[test]
    fn images_are_told_when_they_are_known() {
        let mut node = node();
        let image = |name: &str| k8s_openapi::api::core::v1::ContainerImage {
            names: Some(vec![name.to_owned()]),
            size_bytes: Some(5),
        };
        node.status.as_mut().unwrap().images = Some(vec![image("old")]);
        let mut changed = description();
        assert_eq!(status_patch(&node, &changed, &[], now()), None);
        changed.images = Some(vec![image("old")]);
        assert_eq!(status_patch(&node, &changed, &[], now()), None);
        changed.images = Some(vec![image("new")]);
        let patch = status_patch(&node, &changed, &[], now()).unwrap();
        assert_eq!(patch["status"]["images"], json!([{"names": ["new"], "sizeBytes": 5}]));
    }

    #[test]
    fn several_addresses_of_one_type_are_replaced_and_not_merged() {
        let mut changed = description();
        let address = |address: &str| k8s_openapi::api::core::v1::NodeAddress {
            address: address.to_owned(),
            type_: "InternalIP".to_owned(),
        };
        changed.addresses = vec![address("10.0.0.1"), address("fd00::1")];
        let patch = status_patch(&node(), &changed, &[], now()).unwrap();
        assert_eq!(patch["status"]["addresses"][2], json!({"$patch": "replace"}));
    }
}
