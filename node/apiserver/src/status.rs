//! Statuses and deletions.
//!
//! A status is written as a strategic merge patch of what differs, with the pod's UID as precondition: another pod that
//! took the name is never touched, and what others wrote into the status (their conditions, claims, nominations) stays.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::{Map, Value, json};

use crate::{Error, Session};

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The status was changed.
    Done,
    /// It was the same already; nothing was sent.
    Unchanged,
    /// The pod is gone, or another one has its name.
    Gone,
}

/// Writes a status: merges it into what `pod` has and sends what is different.
///
/// Conditions of other types are kept, and a transition time moves only with its status. Fields of `status` that are
/// `None` are left as they are, but for `reason`, `message` and the pod's addresses, which are removed.
///
/// # Errors
/// What the API server refused.
pub async fn write(session: &Session, pod: &Pod, status: &PodStatus) -> Result<Written, Error> {
    let (namespace, name, uid) = names(pod);
    let empty = PodStatus::default();
    let Some(changes) = difference(pod.status.as_ref().unwrap_or(&empty), status, Timestamp::now()) else {
        return Ok(Written::Unchanged);
    };
    let patch = Patch::Strategic(json!({"metadata": {"uid": uid}, "status": changes}));
    let api: Api<Pod> = Api::namespaced(session.client(), namespace);
    let what = format!("patch the status of pod {namespace}/{name}");
    let result = {
        let _place = session.place().await;
        session.tells();
        session
            .call(&what, api.patch_status(name, &PatchParams::default(), &patch))
            .await
    };
    match result {
        Ok(_) => Ok(Written::Done),
        Err(error) if error.is_not_found() => Ok(Written::Gone),
        // Another UID is "immutable" (422), and a pod of another node is forbidden to a node: only a look tells.
        Err(error) if matches!(error.code(), Some(403 | 409 | 422)) => {
            match confirm_gone(session, namespace, name, uid).await {
                Ok(true) => Ok(Written::Gone),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Deletes a pod's object with this grace in seconds, if it still is this pod. Gone already is not an error.
///
/// # Errors
/// What the API server refused.
pub async fn delete(session: &Session, namespace: &str, name: &str, uid: &str, grace: u32) -> Result<(), Error> {
    let api: Api<Pod> = Api::namespaced(session.client(), namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(grace),
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let what = format!("delete pod {namespace}/{name}");
    let result = {
        let _place = session.place().await;
        session.call(&what, api.delete(name, &params)).await
    };
    match result {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() => Ok(()),
        Err(error) if matches!(error.code(), Some(403 | 409)) => {
            match confirm_gone(session, namespace, name, uid).await {
                Ok(true) => Ok(()),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

/// Whether the pod is really gone: nothing has its name on this node, or a pod with another UID has.
///
/// Asked as a list with field selectors, from the API server's store and not its cache: to a GET of a pod that is gone
/// the Node authorizer says "forbidden", and that would prove nothing.
///
/// # Errors
/// The API server gave no answer: then it is not known.
pub async fn confirm_gone(session: &Session, namespace: &str, name: &str, uid: &str) -> Result<bool, Error> {
    let api: Api<Pod> = Api::namespaced(session.client(), namespace);
    let selector = format!("spec.nodeName={},metadata.name={name}", session.node());
    let what = format!("look for pod {namespace}/{name}");
    let _place = session.place().await;
    let params = ListParams::default().fields(&selector);
    let found = session.call(&what, api.list_metadata(&params)).await?;
    Ok(found.items.iter().all(|pod| pod.metadata.uid.as_deref() != Some(uid)))
}

fn names(pod: &Pod) -> (&str, &str, &str) {
    (
        pod.metadata.namespace.as_deref().unwrap_or("default"),
        pod.metadata.name.as_deref().unwrap_or_default(),
        pod.metadata.uid.as_deref().unwrap_or_default(),
    )
}

/// Plain fields: `None` leaves them as they are.
const KEPT: [&str; 8] = [
    "phase",
    "observedGeneration",
    "startTime",
    "hostIP",
    "qosClass",
    "containerStatuses",
    "initContainerStatuses",
    "ephemeralContainerStatuses",
];
/// Plain fields that go away when they are `None`.
const REMOVED: [&str; 3] = ["reason", "message", "podIP"];
/// Lists of addresses, which a strategic merge would add to.
const ADDRESSES: [(&str, bool); 2] = [("hostIPs", false), ("podIPs", true)];

/// Without what says nothing: the API server writes `lastState: {}` where we wrote none.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .map(|(key, value)| (key, plain(value)))
                .filter(|(_, value)| !value.is_null() && value.as_object().is_none_or(|map| !map.is_empty()))
                .collect(),
        ),
        Value::Array(list) => Value::Array(list.into_iter().map(plain).collect()),
        value => value,
    }
}

/// What has to be sent so that `old` becomes `new`; `None` if nothing. Compared as JSON, in which times have seconds.
fn difference(old: &PodStatus, new: &PodStatus, now: Timestamp) -> Option<Value> {
    let (old_json, new_json) = (plain(json!(old)), plain(json!(new)));
    let mut changes = Map::new();
    for field in KEPT {
        if let Some(value) = new_json.get(field)
            && old_json.get(field) != Some(value)
        {
            changes.insert(field.to_owned(), value.clone());
        }
    }
    for field in REMOVED {
        let value = new_json.get(field).cloned().unwrap_or(Value::Null);
        if old_json.get(field).unwrap_or(&Value::Null) != &value {
            changes.insert(field.to_owned(), value);
        }
    }
    for (field, removed) in ADDRESSES {
        let value = new_json.get(field);
        if (value.is_some() || removed) && old_json.get(field) != value {
            let mut list = value.and_then(Value::as_array).cloned().unwrap_or_default();
            list.push(json!({"$patch": "replace"}));
            changes.insert(field.to_owned(), Value::Array(list));
        }
    }
    let conditions = changed_conditions(
        old.conditions.as_deref().unwrap_or_default(),
        new.conditions.as_deref().unwrap_or_default(),
        now,
    );
    if !conditions.is_empty() {
        changes.insert("conditions".to_owned(), json!(conditions));
    }
    (!changes.is_empty()).then_some(Value::Object(changes))
}

/// The conditions of `new` that say something else than those of `old`; they are merged by type.
fn changed_conditions(old: &[PodCondition], new: &[PodCondition], now: Timestamp) -> Vec<Value> {
    new.iter()
        .filter_map(|wanted| {
            let before = old.iter().find(|condition| condition.type_ == wanted.type_);
            let mut dated = wanted.clone();
            dated.last_transition_time = match before.filter(|before| before.status == wanted.status) {
                Some(before) => before.last_transition_time.clone(),
                None => Some(wanted.last_transition_time.clone().unwrap_or(Time(now))),
            };
            let mut sent = json!(dated);
            if let Some(before) = before {
                let before = json!(before);
                if before == sent {
                    return None;
                }
                // A merge keeps what is not mentioned.
                for field in ["reason", "message"] {
                    if sent.get(field).is_none() && before.get(field).is_some() {
                        sent[field] = Value::Null;
                    }
                }
            }
            Some(sent)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    fn status(value: Value) -> PodStatus {
        serde_json::from_value(value).unwrap()
    }

    fn diff(old: Value, new: Value) -> Option<Value> {
        difference(&status(old), &status(new), now())
    }

    #[test]
    fn the_same_status_is_not_sent() {
        let same = json!({
            "phase": "Running", "startTime": "2023-11-14T22:13:20Z", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2023-11-14T22:13:20Z"}],
            "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": true, "restartCount": 0}],
        });
        assert_eq!(diff(same.clone(), same.clone()), None);
        let mut defaulted = same.clone();
        defaulted["containerStatuses"][0]["lastState"] = json!({});
        assert_eq!(
            diff(defaulted, same.clone()),
            None,
            "the API server adds what says nothing"
        );
        let mut finer = status(same.clone());
        finer.start_time = Some(Time("2023-11-14T22:13:20.5Z".parse().unwrap()));
        assert_eq!(difference(&status(same), &finer, now()), None, "the API keeps seconds");
    }

    #[test]
    fn what_others_wrote_is_not_mentioned() {
        let old = json!({
            "phase": "Pending", "nominatedNodeName": "n", "qosClass": "Burstable",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "DisruptionTarget", "status": "True", "reason": "Eviction"},
            ],
        });
        let new = json!({"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]});
        assert_eq!(diff(old, new), Some(json!({"phase": "Running"})));
    }

    #[test]
    fn a_transition_time_moves_only_with_its_status() {
        let old = json!({"conditions": [
            {"type": "Ready", "status": "False", "reason": "A", "message": "m", "lastTransitionTime": "2020-01-01T00:00:00Z"},
        ]});
        let later = |status: &str| {
            json!({"conditions": [
                {"type": "Ready", "status": status, "reason": "B", "lastTransitionTime": "2023-01-01T00:00:00Z"},
            ]})
        };
        let same = diff(old.clone(), later("False")).unwrap();
        assert_eq!(same["conditions"][0]["lastTransitionTime"], "2020-01-01T00:00:00Z");
        assert_eq!(same["conditions"][0]["message"], Value::Null);
        assert!(same["conditions"][0].as_object().unwrap().contains_key("message"));
        let other = diff(old, later("True")).unwrap();
        assert_eq!(other["conditions"][0]["lastTransitionTime"], "2023-01-01T00:00:00Z");
    }

    #[test]
    fn addresses_are_replaced_and_a_cleared_reason_is_removed() {
        let old = json!({"reason": "R", "message": "m", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}]});
        let new = json!({"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}]});
        let changes = diff(old, new).unwrap();
        assert_eq!(changes["reason"], Value::Null);
        assert_eq!(changes["podIPs"], json!([{"ip": "10.0.0.2"}, {"$patch": "replace"}]));
        assert_eq!(changes["podIP"], "10.0.0.2");
    }

    #[test]
    fn container_statuses_are_sent_whole() {
        let container = |name: &str, ready: bool| json!({"name": name, "image": "i", "imageID": "", "ready": ready, "restartCount": 0});
        let old = json!({"containerStatuses": [container("a", false), container("b", false)]});
        let new = json!({"containerStatuses": [container("a", false), container("b", true)]});
        let changes = diff(old, new).unwrap();
        assert_eq!(changes["containerStatuses"].as_array().unwrap().len(), 2);
    }
}
