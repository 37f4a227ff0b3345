//! A node's conditions.
//!
//! Source of the reasons and messages: `pkg/kubelet/nodestatus/setters.go`.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{NodeCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::node::{NodeConditionSpec, NodeDescription};

/// How often a status is written although nothing changed.
pub(crate) const HEARTBEAT: SignedDuration = SignedDuration::from_mins(5);

/// The conditions that should be there. `refused` are the taints that the API server did not let us set.
pub(crate) fn wanted(description: &NodeDescription, refused: &[Taint]) -> Vec<NodeConditionSpec> {
    let mut conditions = vec![
        NodeConditionSpec::new("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        NodeConditionSpec::new(
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        NodeConditionSpec::new(
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        NodeConditionSpec::new(
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        network(refused),
    ];
    for extra in &description.conditions {
        match conditions.iter_mut().find(|condition| condition.type_ == extra.type_) {
            // What keeps pods away is stronger than a default.
            Some(_) if extra.type_ == "NetworkUnavailable" && !refused.is_empty() => {}
            Some(own) => *own = extra.clone(),
            None => conditions.push(extra.clone()),
        }
    }
    conditions
}

fn network(refused: &[Taint]) -> NodeConditionSpec {
    match refused.first() {
        None => NodeConditionSpec::new(
            "NetworkUnavailable",
            "False",
            "RouteCreated",
            "the virtual node needs no route",
        ),
        Some(taint) => NodeConditionSpec::new(
            "NetworkUnavailable",
            "True",
            &camel(taint.key.rsplit('/').next().unwrap_or_default()),
            &format!(
                "stands for the taint {}:{}, which a node may not set on itself",
                taint.key, taint.effect
            ),
        ),
    }
}

/// `cluster-unreachable` → `ClusterUnreachable`.
fn camel(text: &str) -> String {
    text.split(['-', '.', '_'])
        .flat_map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            first.into_iter().chain(letters)
        })
        .collect()
}

/// What has to be written; `None` if everything is as it should be and was said recently. Foreign conditions are not
/// mentioned, and so kept: the list is merged by type.
pub(crate) fn changed(
    have: &[NodeCondition],
    wanted: &[NodeConditionSpec],
    now: Timestamp,
) -> Option<Vec<NodeCondition>> {
    let found = |spec: &NodeConditionSpec| have.iter().find(|condition| condition.type_ == spec.type_);
    let due = wanted.iter().any(|spec| {
        found(spec).is_none_or(|old| {
            let age = old.last_heartbeat_time.as_ref().map(|time| now.duration_since(time.0));
            old.status != spec.status
                || old.reason.as_deref() != Some(&spec.reason)
                || old.message.as_deref() != Some(&spec.message)
                || age.is_none_or(|age| age >= HEARTBEAT)
        })
    });
    due.then(|| wanted.iter().map(|spec| dated(spec, found(spec), now)).collect())
}

/// A condition with its times: the transition is dated only when the status moves.
fn dated(spec: &NodeConditionSpec, old: Option<&NodeCondition>, now: Timestamp) -> NodeCondition {
    let since = old
        .filter(|old| old.status == spec.status)
        .and_then(|old| old.last_transition_time.clone());
    NodeCondition {
        type_: spec.type_.clone(),
        status: spec.status.clone(),
        reason: Some(spec.reason.clone()),
        message: Some(spec.message.clone()),
        last_heartbeat_time: Some(Time(now)),
        last_transition_time: Some(since.unwrap_or(Time(now))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn first() -> Vec<NodeCondition> {
        changed(&[], &wanted(&NodeDescription::default(), &[]), at(0)).unwrap()
    }

    fn by_type<'a>(conditions: &'a [NodeCondition], type_: &str) -> &'a NodeCondition {
        conditions.iter().find(|condition| condition.type_ == type_).unwrap()
    }

    #[test]
    fn nothing_is_written_until_something_changes_or_five_minutes_pass() {
        let specs = wanted(&NodeDescription::default(), &[]);
        assert!(changed(&first(), &specs, at(299)).is_none());
        let beat = changed(&first(), &specs, at(300)).unwrap();
        let ready = by_type(&beat, "Ready");
        assert_eq!(ready.last_heartbeat_time, Some(Time(at(300))));
        assert_eq!(ready.last_transition_time, Some(Time(at(0))));
    }

    #[test]
    fn the_transition_time_moves_only_with_the_status() {
        let mut description = NodeDescription::default();
        let link = |status: &str, message: &str| NodeConditionSpec::new("ClusterReachable", status, "Link", message);
        description.conditions = vec![link("True", "up")];
        let one = changed(&first(), &wanted(&description, &[]), at(10)).unwrap();
        description.conditions = vec![link("True", "up again")];
        let two = changed(&one, &wanted(&description, &[]), at(20)).unwrap();
        assert_eq!(
            by_type(&two, "ClusterReachable").last_transition_time,
            Some(Time(at(10)))
        );
        description.conditions = vec![link("False", "down")];
        let three = changed(&two, &wanted(&description, &[]), at(30)).unwrap();
        assert_eq!(
            by_type(&three, "ClusterReachable").last_transition_time,
            Some(Time(at(30)))
        );
        assert_eq!(by_type(&three, "Ready").last_transition_time, Some(Time(at(0))));
    }

    #[test]
    fn ready_is_said_again_when_the_control_plane_doubted_it() {
        let mut have = first();
        have[0].status = "Unknown".to_owned();
        let again = changed(&have, &wanted(&NodeDescription::default(), &[]), at(50)).unwrap();
        assert_eq!(by_type(&again, "Ready").status, "True");
        assert_eq!(by_type(&again, "Ready").last_transition_time, Some(Time(at(50))));
    }

    #[test]
    fn a_taint_that_may_not_be_set_becomes_an_unavailable_network() {
        let taint = Taint {
            key: "towline.dev/cluster-unreachable".to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        };
        let specs = wanted(&NodeDescription::default(), &[taint]);
        let network = specs.iter().find(|spec| spec.type_ == "NetworkUnavailable").unwrap();
        assert_eq!(
            (network.status.as_str(), network.reason.as_str()),
            ("True", "ClusterUnreachable")
        );
        let ready = specs.iter().find(|spec| spec.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "True");
    }
}
