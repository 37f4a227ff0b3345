//! Ephemeral containers. None is ever started: a job's containers are those that it began with. Whoever asks for one
//! (`kubectl debug`) waits for its status, and is told there.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateWaiting, ContainerStatus, Pod, PodStatus};

/// Why, for a person.
const WHY: &str = "this node cannot add a container to a job that runs: exec into one of the pod's containers, or copy the pod (kubectl debug --copy-to=NAME --share-processes=false --profile=baseline)";

/// Says of each that it is not going to start.
pub fn fill(status: &mut PodStatus, pod: &Pod) {
    let asked = pod
        .spec
        .iter()
        .flat_map(|spec| spec.ephemeral_containers.iter().flatten());
    let all: Vec<ContainerStatus> = asked
        .map(|container| ContainerStatus {
            name: container.name.clone(),
            image: container.image.clone().unwrap_or_default(),
            state: Some(ContainerState {
                waiting: Some(ContainerStateWaiting {
                    reason: Some("UnsupportedField".to_owned()),
                    message: Some(WHY.to_owned()),
                }),
                ..ContainerState::default()
            }),
            ..ContainerStatus::default()
        })
        .collect();
    status.ephemeral_container_statuses = Some(all).filter(|list| !list.is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_debugs_a_pod_is_told_that_it_is_no_use() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "containers": [{"name": "c", "image": "i"}],
            "ephemeralContainers": [{"name": "debugger", "image": "busybox"}],
        }}))
        .unwrap();
        let mut status = PodStatus::default();
        fill(&mut status, &pod);
        let status = &status.ephemeral_container_statuses.unwrap()[0];
        assert_eq!((status.name.as_str(), status.ready), ("debugger", false));
        let waiting = status.state.as_ref().unwrap().waiting.as_ref().unwrap();
        assert_eq!(waiting.reason.as_deref(), Some("UnsupportedField"));
        assert!(waiting.message.as_ref().unwrap().contains("--copy-to"));
        let mut none = PodStatus::default();
        fill(&mut none, &Pod::default());
        assert!(none.ephemeral_container_statuses.is_none());
    }
}
