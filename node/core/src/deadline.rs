//! The deadline of a pod that runs, as the API has it now. The job has an alarm for the one that it was made with; the API
//! lets it be set, and made shorter, later.

use k8s_openapi::api::core::v1::Pod;

/// What is said of a pod that was stopped for it.
pub const MESSAGE: &str = "Pod was active on the node longer than the specified deadline";

/// When the pod has been active for too long, seconds since 1970: counted from when the API was told that its job runs.
pub fn of(pod: &Pod) -> Option<i64> {
    let seconds = pod.spec.as_ref()?.active_deadline_seconds?;
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let active = conditions
        .iter()
        .find(|condition| condition.type_ == "PodReadyToStartContainers" && condition.status == "True")?;
    let since = active.last_transition_time.as_ref()?.0.as_second();
    Some(since.saturating_add(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_is_active_since_its_job_runs() {
        let due = |deadline: Value, active: &str| {
            of(&serde_json::from_value(json!({
                "spec": {"containers": [], "activeDeadlineSeconds": deadline},
                "status": {"startTime": "1970-01-01T00:00:01Z", "conditions": [
                    {"type": "Initialized", "status": "True", "lastTransitionTime": "1970-01-01T00:00:02Z"},
                    {"type": "PodReadyToStartContainers", "status": active, "lastTransitionTime": "1970-01-01T00:01:40Z"},
                ]},
            }))
            .unwrap())
        };
        assert_eq!(due(json!(60), "True"), Some(160));
        assert_eq!(due(json!(i64::MAX), "True"), Some(i64::MAX));
        assert_eq!(due(json!(60), "False"), None);
        assert_eq!(due(json!(null), "True"), None);
    }
}
