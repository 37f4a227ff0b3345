//! `GET /pods` and `GET /runningpods/`.

use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;

use crate::Pods;

/// All pods, with the status that is known here.
pub fn all(pods: &dyn Pods) -> List<Pod> {
    list(pods, |_| true)
}

/// Those in which some container runs.
pub fn running(pods: &dyn Pods) -> List<Pod> {
    list(pods, runs)
}

fn list(pods: &dyn Pods, wanted: impl Fn(&Pod) -> bool) -> List<Pod> {
    let mut items: Vec<Pod> = (pods.all().iter())
        .filter(|pod| wanted(pod))
        .map(|pod| Pod::clone(pod))
        .collect();
    items.sort_by(|a, b| {
        let key = |pod: &Pod| (pod.metadata.namespace.clone(), pod.metadata.name.clone());
        key(a).cmp(&key(b))
    });
    List {
        items,
        ..List::default()
    }
}

/// Whether some container of a pod runs.
pub fn runs(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let init = status.init_container_statuses.iter().flatten();
    let ephemeral = status.ephemeral_container_statuses.iter().flatten();
    let mut all = (status.container_statuses.iter().flatten())
        .chain(init)
        .chain(ephemeral);
    all.any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}
