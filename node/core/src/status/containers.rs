//! The states of a pod's containers.

use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, PodStatus,
};

use super::{View, time};
use crate::answer::{ContainerReport, ContainerStage, Ending, JobState, Report};
use crate::events;
use crate::life;

/// The kubelet's reason for a container that it lost track of.
pub const UNKNOWN: &str = "ContainerStatusUnknown";
const UNKNOWN_MESSAGE: &str = "The container could not be located when the pod was terminated";

/// Fills in both lists of a status.
pub fn fill(status: &mut PodStatus, pod: &Pod, view: View<'_>, terminal: bool) {
    let Some(spec) = &pod.spec else { return };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let default = if init.is_empty() {
        "ContainerCreating"
    } else {
        "PodInitializing"
    };
    let of = |container: &Container, known: &Option<Vec<ContainerStatus>>| {
        let before = known.iter().flatten().find(|status| status.name == container.name);
        one(pod, container, before, view, default)
    };
    let mut main: Vec<_> = spec
        .containers
        .iter()
        .map(|container| of(container, &status.container_statuses))
        .collect();
    main.sort_by(|a, b| a.name.cmp(&b.name));
    let mut first: Vec<_> = init
        .iter()
        .map(|container| of(container, &status.init_container_statuses))
        .collect();
    if terminal {
        close(&mut first, &mut main, matches!(view, View::Lost { .. }));
    }
    let sidecars = init.iter().map(|container| life::is_sidecar(true, container));
    for (container, _) in first.iter_mut().zip(sidecars).filter(|(_, sidecar)| !sidecar) {
        let done = container.state.as_ref().and_then(|state| state.terminated.as_ref());
        container.ready = done.is_some_and(|done| done.exit_code == 0);
    }
    status.container_statuses = Some(main);
    status.init_container_statuses = Some(first).filter(|list| !list.is_empty());
}

/// Fills in an ephemeral container's.
pub(super) fn of_added(
    pod: &Pod,
    container: &Container,
    before: Option<&ContainerStatus>,
    view: View<'_>,
) -> ContainerStatus {
    one(pod, container, before, view, "ContainerCreating")
}

/// No container of a pod that is over can be said to run or to wait, once the pod had begun with its main containers; of
/// the init containers only those behind the last one that ran may still wait. Source: `TerminatePod`.
pub(super) fn close(init: &mut [ContainerStatus], main: &mut [ContainerStatus], all: bool) {
    let is_over = |status: &ContainerStatus| status.state.as_ref().is_some_and(|s| s.terminated.is_some());
    let waits = |status: &ContainerStatus| {
        status.state.as_ref().is_none_or(|s| s.waiting.is_some()) && status.last_state.is_none()
    };
    let initialized = all || main.iter().any(|status| !waits(status));
    let turn = init.iter().rposition(|status| !waits(status)).map_or(0, |n| n + 1);
    let (ran, _) = init.split_at_mut(if initialized { init.len() } else { turn });
    let main = if initialized { main } else { &mut [] };
    for status in ran.iter_mut().chain(main).filter(|status| !is_over(status)) {
        let started = status.state.as_ref().and_then(|state| state.running.as_ref());
        status.state = Some(ContainerState {
            terminated: Some(ContainerStateTerminated {
                exit_code: 137,
                reason: Some(UNKNOWN.to_owned()),
                message: Some(UNKNOWN_MESSAGE.to_owned()),
                started_at: started.and_then(|running| running.started_at.clone()),
                container_id: status.container_id.clone(),
                ..ContainerStateTerminated::default()
            }),
            ..ContainerState::default()
        });
        status.ready = false;
        status.started = Some(false);
    }
}

fn one(
    pod: &Pod,
    container: &Container,
    before: Option<&ContainerStatus>,
    view: View<'_>,
    default: &str,
) -> ContainerStatus {
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        stop_signal: life::stop_signal(container).map(str::to_owned),
        ..ContainerStatus::default()
    };
    let (report, died) = match view {
        View::Reported { report, .. } => (Some(report), None),
        View::Died { report, job, .. } => (report, Some(job)),
        View::Lost { .. } => return before.cloned().unwrap_or(status),
        View::Waiting { reason, message, .. } => {
            let reason = if reason == "ContainerCreating" { default } else { reason };
            status.state = Some(waiting(reason, message));
            return status;
        }
        View::NeverRan => {
            status.state = Some(waiting(default, ""));
            return status;
        }
        View::Rejected(_) => return status,
    };
    let found = report.and_then(|report| report.containers.iter().find(|found| found.name == container.name));
    let (Some(report), Some(found)) = (report, found) else {
        status.state = Some(waiting(default, ""));
        return status;
    };
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let id = |run: i32| format!("towline://{uid}-{}-{run}", container.name);
    status.restart_count = found.restarts;
    status.image_id = found.image_id.clone().unwrap_or_default();
    status.last_state = found.last.as_ref().map(|last| {
        // A container that waits to be started again counts the start only when it comes.
        let waits = found.stage == ContainerStage::Waiting;
        let run = if waits { found.restarts } else { found.restarts - 1 };
        ContainerState {
            terminated: Some(terminated(
                last,
                found.last_message.as_deref().unwrap_or_default(),
                id(run.max(0)),
            )),
            ..ContainerState::default()
        }
    });
    status.state = Some(match found.stage {
        ContainerStage::Waiting => {
            if found.last.is_some() {
                status.container_id = Some(id(found.restarts));
            }
            let reason = found.run.reason.as_deref().unwrap_or(default);
            // Pulling is how a kubelet creates a container.
            let usual = matches!(reason, "Pulling" | "PodInitializing" | "ContainerCreating");
            let pulling = events::pulling(&status.image);
            let message = if reason == "Pulling" { &pulling } else { &found.message };
            waiting(if usual { default } else { reason }, message)
        }
        ContainerStage::Running => {
            status.container_id = Some(id(found.restarts));
            running_or_dead(&mut status, report, found, died)
        }
        ContainerStage::Terminated => {
            status.container_id = Some(id(found.restarts));
            let message = found.termination_message.as_deref().unwrap_or(&found.message);
            ContainerState {
                terminated: Some(terminated(&found.run, message, id(found.restarts))),
                ..ContainerState::default()
            }
        }
    });
    status
}

fn running_or_dead(
    status: &mut ContainerStatus,
    report: &Report,
    found: &ContainerReport,
    died: Option<Option<&crate::answer::Job>>,
) -> ContainerState {
    let Some(job) = died else {
        status.started = Some(found.started);
        status.ready = found.ready;
        return ContainerState {
            running: Some(ContainerStateRunning {
                started_at: found.run.started.map(time),
            }),
            ..ContainerState::default()
        };
    };
    let reason = match job.map(|job| job.state) {
        Some(JobState::OutOfMemory) => "OOMKilled",
        _ => UNKNOWN,
    };
    let ending = Ending {
        started: found.run.started,
        finished: Some(job.and_then(|job| job.end).unwrap_or(report.time)),
        exit: Some(137),
        signal: None,
        reason: Some(reason.to_owned()),
    };
    let id = status.container_id.clone().unwrap_or_default();
    ContainerState {
        terminated: Some(terminated(&ending, UNKNOWN_MESSAGE, id)),
        ..ContainerState::default()
    }
}

pub(super) fn waiting(reason: &str, message: &str) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting {
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        }),
        ..ContainerState::default()
    }
}

fn terminated(ending: &Ending, message: &str, id: String) -> ContainerStateTerminated {
    // An unknown exit code is no success.
    let exit_code = ending.exit.unwrap_or(137);
    ContainerStateTerminated {
        exit_code,
        signal: ending.signal.filter(|signal| *signal != 0),
        reason: ending.reason.clone().or_else(|| {
            let usual = if exit_code == 0 { "Completed" } else { "Error" };
            Some(usual.to_owned())
        }),
        message: Some(message.to_owned()).filter(|message| !message.is_empty()),
        started_at: ending.started.map(time),
        finished_at: ending.finished.map(time),
        container_id: Some(id),
    }
}
