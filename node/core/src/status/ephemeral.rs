//! The states of ephemeral containers.

use std::collections::BTreeMap;
use std::slice;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use super::{View, containers};
use crate::ephemeral;
use crate::translate::Rejection;

/// Fills in the list. `problems`: why some are not on the cluster, by name.
pub fn fill(status: &mut PodStatus, pod: &Pod, view: View<'_>, terminal: bool, problems: &BTreeMap<String, Rejection>) {
    let known = status.ephemeral_container_statuses.take().unwrap_or_default();
    let mut all: Vec<ContainerStatus> = Vec::new();
    for container in ephemeral::of(pod) {
        let before = known.iter().find(|status| status.name == container.name);
        let container = ephemeral::as_container(container);
        let mut status = containers::of_added(pod, &container, before, view);
        if let Some(problem) = problems.get(&status.name).filter(|_| status.container_id.is_none()) {
            status.state = Some(containers::waiting(&problem.reason, &problem.message));
        }
        // What runs in a pod that is over was lost with it.
        if terminal && is_running(&status) {
            containers::close(&mut [], slice::from_mut(&mut status), true);
        }
        // As on a kubelet, which probes none of them.
        (status.ready, status.started) = (false, None);
        all.push(status);
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    status.ephemeral_container_statuses = Some(all).filter(|list| !list.is_empty());
}

fn is_running(status: &ContainerStatus) -> bool {
    status.state.as_ref().is_some_and(|state| state.running.is_some())
}

/// One of them runs.
pub fn runs(status: &PodStatus) -> bool {
    let mut all = status.ephemeral_container_statuses.iter().flatten();
    all.any(is_running)
}
