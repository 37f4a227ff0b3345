//! What is ours on a Node, and what belongs to somebody else.
//!
//! Which labels, annotations, taints and resources are ours is recorded in an annotation on the Node itself: what is in
//! the record and no longer in the description goes away, what is in neither belongs to somebody else. (Server-side apply
//! would do this for labels, but takes the taints as one value and would fight for all of them.)

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, Taint};
use serde::{Deserialize, Serialize};

use crate::node::NodeDescription;

/// The annotation that records what is ours.
pub(crate) const APPLIED: &str = "towline.dev/applied";

/// What is ours on a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Applied {
    pub labels: BTreeSet<String>,
    pub annotations: BTreeSet<String>,
    pub taints: BTreeSet<String>,
    pub resources: BTreeSet<String>,
}

impl Applied {
    pub fn of<'a>(description: &NodeDescription, taints: impl Iterator<Item = &'a Taint>) -> Self {
        let keys = |map: &BTreeMap<String, String>| map.keys().cloned().collect();
        Self {
            labels: keys(&description.labels),
            annotations: keys(&description.annotations),
            taints: taints.map(taint_id).collect(),
            resources: description
                .capacity
                .keys()
                .chain(description.allocatable.keys())
                .cloned()
                .collect(),
        }
    }

    /// The record on a Node; an unreadable one claims nothing.
    pub fn on(node: &Node) -> Self {
        let annotations = node.metadata.annotations.as_ref();
        annotations
            .and_then(|all| serde_json::from_str(all.get(APPLIED)?).ok())
            .unwrap_or_default()
    }

    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Taints are told apart by key and effect.
fn taint_id(taint: &Taint) -> String {
    format!("{}:{}", taint.key, taint.effect)
}

/// Ours as they should be, everybody else's as they are, in a stable order.
pub(crate) fn taints(have: &[Taint], description: &NodeDescription, record: &Applied) -> Vec<Taint> {
    let wanted: BTreeMap<String, &Taint> = description.all_taints().map(|taint| (taint_id(taint), taint)).collect();
    let mut all: Vec<Taint> = Vec::new();
    for old in have {
        let id = taint_id(old);
        match wanted.get(&id) {
            Some(taint) if taint.value == old.value => all.push(old.clone()),
            Some(taint) => all.push((*taint).clone()),
            None if record.taints.contains(&id) => {}
            None => all.push(old.clone()),
        }
    }
    let present: BTreeSet<String> = have.iter().map(taint_id).collect();
    all.extend(
        wanted
            .into_iter()
            .filter(|(id, _)| !present.contains(id))
            .map(|(_, taint)| taint.clone()),
    );
    all
}

/// Transient taints that should keep pods away and are not on the Node.
pub(crate) fn missing_taints(node: &Node, description: &NodeDescription) -> Vec<Taint> {
    let present: BTreeSet<String> = node
        .spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .map(taint_id)
        .collect();
    let transient = description.transient_taints.iter();
    transient
        .filter(|taint| taint.effect != "PreferNoSchedule" && !present.contains(&taint_id(taint)))
        .cloned()
        .collect()
}
