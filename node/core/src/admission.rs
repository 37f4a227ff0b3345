//! Admission: the checks that a kubelet makes before it starts a pod that somebody bound to its node.
//!
//! Source: `pkg/kubelet/lifecycle/predicate.go`. The scheduler has normally made them already; a pod with `nodeName` set
//! by hand, or two schedulers at once, have not.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use k8s_openapi::api::core::v1::{Container, Pod, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::affinity;
use crate::demand;
use crate::policy::Policy;
use crate::quantity;
use crate::translate::Rejection;

/// What a node offers, as the check needs it.
#[derive(Debug, Clone, Default)]
pub struct NodeFacts {
    /// The node's name.
    pub name: String,
    /// The node's labels.
    pub labels: BTreeMap<String, String>,
    /// The node's taints.
    pub taints: Vec<Taint>,
    /// Allocatable resources: cpu in millicores, everything else in units.
    pub allocatable: BTreeMap<String, u64>,
}

/// Whether a pod may run on a node at all.
///
/// # Errors
/// The rejection with a kubelet's reason: `OutOf…`, `NodeAffinity`, `TaintToleration`.
pub fn admit(pod: &Pod, used: &BTreeMap<String, u64>, node: &NodeFacts) -> Result<(), Rejection> {
    let Some(spec) = &pod.spec else { return Ok(()) };
    if !affinity::matches(spec, &node.name, &node.labels) {
        return Err(Rejection {
            reason: "NodeAffinity".to_owned(),
            message: "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector".to_owned(),
        });
    }
    let tolerations = spec.tolerations.as_deref().unwrap_or_default();
    for taint in node.taints.iter().filter(|taint| taint.effect == "NoExecute") {
        if !tolerations.iter().any(|toleration| tolerates(toleration, taint)) {
            return Err(Rejection {
                reason: "TaintToleration".to_owned(),
                message: format!(
                    "Predicate TaintToleration failed: the pod does not tolerate the taint {}",
                    taint.key
                ),
            });
        }
    }
    for (name, wanted) in requests(pod) {
        let Some(total) = node.allocatable.get(&name) else {
            if wanted == 0 {
                continue;
            }
            return Err(out_of(&name, wanted, 0, 0));
        };
        let used = used.get(&name).copied().unwrap_or(0);
        if wanted > 0 && used.saturating_add(wanted) > *total {
            return Err(out_of(&name, wanted, used, *total));
        }
    }
    Ok(())
}

fn out_of(name: &str, wanted: u64, used: u64, total: u64) -> Rejection {
    Rejection {
        reason: format!("OutOf{name}"),
        message: format!(
            "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {total}"
        ),
    }
}

/// Why no job is submitted for a pod of a DaemonSet: those that tolerate everything (log shippers, network agents) would
/// hold cores of a cluster for ever, on a node that is none of their kind.
pub fn daemon_set(pod: &Pod, policy: &Policy) -> Option<String> {
    let owners = pod.metadata.owner_references.iter().flatten();
    let name = owners
        .filter(|owner| owner.kind == "DaemonSet" && owner.controller == Some(true))
        .map(|owner| owner.name.as_str())
        .next()?;
    (!policy.daemon_sets).then(|| {
        format!(
            "pods of DaemonSets (here {name}) do not run on this node: keep them away by node affinity (type NotIn virtual-kubelet), or set policy.daemonSets"
        )
    })
}

/// What a pod takes from its node's allocatable, itself included (`pods`).
pub fn requests(pod: &Pod) -> BTreeMap<String, u64> {
    let mut total: BTreeMap<String, u64> = BTreeMap::from([("pods".to_owned(), 1)]);
    let Some(spec) = &pod.spec else { return total };
    let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let names: BTreeSet<&String> = all.flat_map(requests_of).map(|(name, _)| name).collect();
    for name in names {
        let of = |container: &Container| {
            let found = requests_of(container).find(|(own, _)| *own == name);
            let value = found.and_then(|(_, quantity)| quantity::amount(name, &quantity.0).ok());
            Ok::<_, Infallible>(value.unwrap_or(0))
        };
        let Ok(sum) = demand::at_once(spec, of);
        total.insert(name.clone(), sum);
    }
    let of_pod = spec
        .resources
        .iter()
        .flat_map(|resources| resources.requests.iter().flatten());
    for (name, quantity) in of_pod {
        if let Ok(value) = quantity::amount(name, &quantity.0) {
            total.insert(name.clone(), value);
        }
    }
    for (name, quantity) in spec.overhead.iter().flatten() {
        let sum = total.entry(name.clone()).or_default();
        *sum = sum.saturating_add(quantity::amount(name, &quantity.0).unwrap_or(0));
    }
    total
}

fn requests_of(container: &Container) -> impl Iterator<Item = (&String, &Quantity)> {
    let resources = container.resources.iter();
    resources.flat_map(|resources| resources.requests.iter().flatten())
}

/// Source: `k8s.io/api/core/v1/toleration.go` (`ToleratesTaint`).
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect || !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        None | Some("" | "Equal") => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(spec: serde_json::Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn a_full_node_says_what_it_is_out_of() {
        let node = NodeFacts {
            allocatable: BTreeMap::from([("cpu".into(), 2000), ("pods".into(), 10)]),
            ..NodeFacts::default()
        };
        let pod = pod(json!({"containers": [{"name": "c", "resources": {"requests": {"cpu": "1500m"}}}]}));
        assert!(admit(&pod, &BTreeMap::new(), &node).is_ok());
        let used = BTreeMap::from([("cpu".to_owned(), 1000)]);
        assert_eq!(admit(&pod, &used, &node).unwrap_err().reason, "OutOfcpu");
    }

    #[test]
    fn a_sidecar_is_added_to_what_runs_beside_it() {
        let asks = |name: &str, cpu: &str| json!({"name": name, "resources": {"requests": {"cpu": cpu}}});
        let mut sidecar = asks("s", "1");
        sidecar["restartPolicy"] = json!("Always");
        let found = requests(&pod(
            json!({"initContainers": [sidecar, asks("i", "1500m")], "containers": [asks("c", "1")]}),
        ));
        assert_eq!(found["cpu"], 2500);
    }

    #[test]
    fn what_the_pod_itself_asks_for_comes_before_the_sum() {
        let pod = pod(json!({
            "resources": {"requests": {"cpu": "3"}}, "overhead": {"cpu": "500m"},
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "5"}}}]
        }));
        let found = requests(&pod);
        assert_eq!((found["cpu"], found["memory"], found["pods"]), (3500, 5, 1));
    }

    #[test]
    fn a_pod_of_a_daemon_set_is_run_only_where_the_site_says_so() {
        let owned = |kind: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"ownerReferences": [
                {"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "u", "controller": true}]}}))
            .unwrap()
        };
        let mut policy = Policy::default();
        assert!(daemon_set(&owned("DaemonSet"), &policy).unwrap().contains("(here o)"));
        assert_eq!(daemon_set(&owned("ReplicaSet"), &policy), None);
        policy.daemon_sets = true;
        assert_eq!(daemon_set(&owned("DaemonSet"), &policy), None);
    }

    #[test]
    fn selector_and_taints_are_checked() {
        let taint: Taint = serde_json::from_value(json!({"key": "k", "effect": "NoExecute"})).unwrap();
        let node = NodeFacts {
            taints: vec![taint],
            allocatable: BTreeMap::from([("pods".into(), 1)]),
            ..NodeFacts::default()
        };
        assert_eq!(
            admit(&pod(json!({"containers": []})), &BTreeMap::new(), &node)
                .unwrap_err()
                .reason,
            "TaintToleration"
        );
        let tolerant = json!({"containers": [], "tolerations": [{"operator": "Exists"}]});
        assert!(admit(&pod(tolerant.clone()), &BTreeMap::new(), &node).is_ok());
        let mut selective = tolerant;
        selective["nodeSelector"] = json!({"a": "b"});
        assert_eq!(
            admit(&pod(selective), &BTreeMap::new(), &node).unwrap_err().reason,
            "NodeAffinity"
        );
    }
}
