//! The phase of a pod from the states of its containers: the kubelet's `getPhase`.

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodStatus};

use crate::life;

enum Kind {
    Waiting,
    Running,
    Stopped { exit: i32 },
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
        Some(ended) => Kind::Stopped { exit: ended.exit_code },
        None => Kind::Waiting,
    }
}

fn of_name<'a>(list: &'a Option<Vec<ContainerStatus>>, container: &Container) -> Option<&'a ContainerStatus> {
    list.iter().flatten().find(|status| status.name == container.name)
}

/// The phase. `terminal`: nothing of the pod will run again, whatever its restart policy.
pub fn of(pod: &Pod, status: &PodStatus, terminal: bool) -> &'static str {
    let Some(spec) = &pod.spec else { return "Pending" };
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    let restarts = |container: &Container, exit: i32| life::runs_again(container, policy, exit);
    let (mut pending, mut failed, mut failed_for_good, mut waiting, mut running) = (0, 0, 0, 0, 0);
    let begun = status
        .container_statuses
        .iter()
        .flatten()
        .any(|status| status.container_id.is_some());
    for container in spec.init_containers.iter().flatten() {
        let found = of_name(&status.init_container_statuses, container);
        match (life::is_sidecar(true, container), found.map_or(Kind::Waiting, kind)) {
            // One that has ended has no part in the phase.
            (true, Kind::Stopped { .. }) | (false, Kind::Stopped { exit: 0 }) => {}
            (false, Kind::Stopped { exit }) => {
                failed += 1;
                failed_for_good += i32::from(!restarts(container, exit));
            }
            (false, Kind::Running | Kind::Waiting) => pending += 1,
            (true, Kind::Running) => {
                let started = found.is_some_and(|status| status.started == Some(true));
                pending += i32::from(!started && !begun);
                running += 1;
            }
            (true, Kind::Waiting) => {
                pending += i32::from(!begun);
                waiting += 1;
            }
        }
    }
    let (mut stopped, mut stopped_for_good, mut succeeded) = (0, 0, 0);
    let mut main_waiting = 0;
    let mut main_running = 0;
    for container in &spec.containers {
        match of_name(&status.container_statuses, container).map_or(Kind::Waiting, kind) {
            Kind::Waiting => main_waiting += 1,
            Kind::Running => main_running += 1,
            Kind::Stopped { exit } => {
                stopped += 1;
                succeeded += i32::from(exit == 0);
                stopped_for_good += i32::from(!restarts(container, exit));
            }
        }
    }
    if terminal {
        let success = pending + failed + main_waiting + main_running == 0 && stopped == succeeded && stopped > 0;
        return if success { "Succeeded" } else { "Failed" };
    }
    waiting += main_waiting;
    running += main_running;
    if failed_for_good > 0 {
        return "Failed";
    }
    if pending + failed > 0 || waiting > 0 || running + stopped == 0 {
        return "Pending";
    }
    if running > 0 || stopped > stopped_for_good {
        return "Running";
    }
    if stopped == succeeded { "Succeeded" } else { "Failed" }
}
