//! The conditions of a pod. Those of others (readiness gates, DisruptionTarget, Kueue's) are left alone.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition, PodStatus};

use super::{View, time};
use crate::answer::{JobState, Stage};
use crate::life;

/// The condition that says that a pod was given to the batch system: with it, a pod is never given again.
pub const SUBMITTED: &str = "towline.dev/Submitted";

/// The condition that says that a pod's job waits in the batch system's queue, and why.
pub const QUEUED: &str = "towline.dev/Queued";

/// The message of the condition [`SUBMITTED`], if it holds.
pub fn submitted(status: &PodStatus) -> Option<&str> {
    let condition = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == SUBMITTED && condition.status == "True")?;
    Some(condition.message.as_deref().unwrap_or_default())
}

/// Sets a condition; the time of its last transition moves only if its status does.
pub fn set(
    status: &mut PodStatus,
    pod: &Pod,
    type_: &str,
    holds: bool,
    reason: Option<&str>,
    message: Option<&str>,
    now: i64,
) {
    let list = status.conditions.get_or_insert_default();
    let value = if holds { "True" } else { "False" };
    let before = list.iter().find(|condition| condition.type_ == type_);
    let since = before.filter(|condition| condition.status == value);
    let condition = PodCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        reason: reason.map(str::to_owned),
        message: message.filter(|text| !text.is_empty()).map(str::to_owned),
        last_transition_time: since
            .and_then(|condition| condition.last_transition_time.clone())
            .or_else(|| Some(time(now))),
        last_probe_time: None,
        observed_generation: pod.metadata.generation,
    };
    match list.iter_mut().find(|condition| condition.type_ == type_) {
        Some(old) => *old = condition,
        None => list.push(condition),
    }
}

/// A job that starts at once never has the condition; it ends when the job does not wait any more.
fn queued(status: &mut PodStatus, pod: &Pod, view: View<'_>, now: i64) {
    let waits = match view {
        View::Waiting {
            queue: Some(job),
            message,
            ..
        } if matches!(job.state, JobState::Pending | JobState::Held) => Some((job, message)),
        _ => None,
    };
    if let Some((job, message)) = waits {
        let reason = match job.reason.as_deref() {
            Some("limit") => "JobCannotStart",
            Some("quota") => "Quota",
            Some("resources") => "Resources",
            Some("held") => "Held",
            Some("dependency") => "Dependency",
            _ => "Pending",
        };
        set(status, pod, QUEUED, true, Some(reason), Some(message), now);
    } else if status.conditions.iter().flatten().any(|one| one.type_ == QUEUED) {
        set(status, pod, QUEUED, false, Some("NotInQueue"), None, now);
    }
}

/// Sets the conditions that a kubelet sets.
pub fn fill(status: &mut PodStatus, pod: &Pod, view: View<'_>, now: i64) {
    if !status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "PodScheduled")
    {
        set(status, pod, "PodScheduled", true, None, None, now);
    }
    let job = match view {
        View::Waiting { job, .. } => job,
        View::Reported { report, .. } => Some(report.job.as_str()),
        View::Died { job, report, .. } => job
            .map(|job| job.id.as_str())
            .or(report.map(|report| report.job.as_str())),
        View::Lost { .. } | View::NeverRan | View::Rejected(_) => None,
    };
    if let Some(job) = job {
        let message = format!("job {job}");
        set(status, pod, SUBMITTED, true, Some("Submitted"), Some(&message), now);
    }
    queued(status, pod, view, now);
    let up = matches!(view, View::Reported { report, .. } if report.stage != Stage::Ended);
    set(status, pod, "PodReadyToStartContainers", up, None, None, now);

    let phase = status.phase.clone().unwrap_or_default();
    let sidecars: Vec<&str> = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten())
        .filter(|container| life::is_sidecar(true, container))
        .map(|container| container.name.as_str())
        .collect();
    let is_sidecar = |container: &ContainerStatus| sidecars.contains(&container.name.as_str());
    // A sidecar has done its part when it has started, the others when they have ended well.
    let init = unready(&status.init_container_statuses, |container| {
        if is_sidecar(container) {
            container.started == Some(true)
        } else {
            container.ready
        }
    });
    let begun = status
        .container_statuses
        .iter()
        .flatten()
        .any(|container| container.container_id.is_some());
    if init.is_empty() || begun || phase == "Succeeded" {
        let reason = (phase == "Succeeded").then_some("PodCompleted");
        set(status, pod, "Initialized", true, reason, None, now);
    } else {
        let message = format!("containers with incomplete status: [{}]", init.join(" "));
        set(
            status,
            pod,
            "Initialized",
            false,
            Some("ContainersNotInitialized"),
            Some(&message),
            now,
        );
    }

    let mut main = unready(&status.init_container_statuses, |container| {
        !is_sidecar(container) || container.ready
    });
    main.extend(unready(&status.container_statuses, |container| container.ready));
    let why = match phase.as_str() {
        "Succeeded" => Some(("PodCompleted", String::new())),
        "Failed" => Some(("PodFailed", String::new())),
        _ if !main.is_empty() => Some((
            "ContainersNotReady",
            format!("containers with unready status: [{}]", main.join(" ")),
        )),
        _ => None,
    };
    let (reason, message) = why.as_ref().map_or((None, None), |(r, m)| (Some(*r), Some(m.as_str())));
    set(status, pod, "ContainersReady", why.is_none(), reason, message, now);
    match gates(status, pod).filter(|_| why.is_none()) {
        Some(message) => set(
            status,
            pod,
            "Ready",
            false,
            Some("ReadinessGatesNotReady"),
            Some(&message),
            now,
        ),
        None => set(status, pod, "Ready", why.is_none(), reason, message, now),
    }
}

fn unready(list: &Option<Vec<ContainerStatus>>, ready: impl Fn(&ContainerStatus) -> bool) -> Vec<String> {
    let unready = list.iter().flatten().filter(|container| !ready(container));
    unready.map(|container| container.name.clone()).collect()
}

/// What a readiness gate still lacks.
fn gates(status: &PodStatus, pod: &Pod) -> Option<String> {
    let gates = pod.spec.as_ref()?.readiness_gates.as_ref()?;
    let holds = |type_: &str| {
        let mut all = status.conditions.iter().flatten();
        all.any(|condition| condition.type_ == type_ && condition.status == "True")
    };
    let missing = gates.iter().find(|gate| !holds(&gate.condition_type))?;
    Some(format!(
        "the status of pod readiness gate \"{}\" is not \"True\"",
        missing.condition_type
    ))
}
