//! The phase of a pod from the states of its containers: the kubelet's `getPhase`.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

enum Kind {
    Waiting,
    Running,
    Stopped { success: bool },
}

fn kind(status: &ContainerStatus) -> Kind {
    let state = status.state.as_ref();
    if state.is_some_and(|state| state.running.is_some()) {
        return Kind::Running;
    }
    let ended = state.and_then(|state| state.terminated.as_ref());
    // One that waits to be started again has stopped.
    let last = || status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
    match ended.or_else(last) {
        Some(ended) => Kind::Stopped {
            success: ended.exit_code == 0,
        },
        None => Kind::Waiting,
    }
}

/// The phase. `terminal`: nothing of the pod will run again, whatever its restart policy.
pub fn of(pod: &Pod, status: &PodStatus, terminal: bool) -> &'static str {
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref());
    let policy = policy.unwrap_or("Always");
    let (mut pending_init, mut failed_init) = (0, 0);
    for container in status.init_container_statuses.iter().flatten() {
        match kind(container) {
            Kind::Stopped { success: true } => {}
            Kind::Stopped { success: false } => failed_init += 1,
            Kind::Running | Kind::Waiting => pending_init += 1,
        }
    }
    let (mut waiting, mut running, mut stopped, mut succeeded) = (0, 0, 0, 0);
    for container in status.container_statuses.iter().flatten() {
        match kind(container) {
            Kind::Waiting => waiting += 1,
            Kind::Running => running += 1,
            Kind::Stopped { success } => {
                stopped += 1;
                succeeded += i32::from(success);
            }
        }
    }
    if terminal {
        let success = pending_init + failed_init + waiting + running == 0 && stopped == succeeded && stopped > 0;
        return if success { "Succeeded" } else { "Failed" };
    }
    if failed_init > 0 && policy == "Never" {
        return "Failed";
    }
    if pending_init + failed_init > 0 || waiting > 0 || running + stopped == 0 {
        return "Pending";
    }
    if running > 0 || policy == "Always" {
        return "Running";
    }
    match (stopped == succeeded, policy) {
        (true, _) => "Succeeded",
        (false, "Never") => "Failed",
        (false, _) => "Running",
    }
}
