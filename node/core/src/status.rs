//! A pod's status as a kubelet would write it, from what is known of its job.
//!
//! Sources: `pkg/kubelet/kubelet_pods.go` (`getPhase`, `generateAPIPodStatus`, `convertToAPIContainerStatuses`),
//! `pkg/kubelet/status/status_manager.go` (`TerminatePod`) and `pkg/kubelet/status/generate.go` (the conditions).

mod conditions;
mod containers;
mod ephemeral;
mod phase;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{HostIP, Pod, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::answer::{Job, JobState, Report, Stage};
use crate::deadline;
use crate::translate::Rejection;

pub use conditions::{QUEUED, SUBMITTED, submitted};
pub use containers::UNKNOWN;

/// What is known of a pod, in the order of its life.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// Nothing of it runs yet.
    Waiting {
        /// The containers' waiting reason; `ContainerCreating` becomes `PodInitializing` where a kubelet says so.
        reason: &'a str,
        /// For a person: what it waits for.
        message: &'a str,
        /// The job, once there is one.
        job: Option<&'a str>,
        /// What the batch system says of it.
        queue: Option<&'a Job>,
    },
    /// Its supervisor has reported.
    Reported {
        /// The newest report.
        report: &'a Report,
        /// What the batch system says of the job.
        job: Option<&'a Job>,
    },
    /// Its job is over, and no last report came.
    Died {
        /// The newest report, if there is one.
        report: Option<&'a Report>,
        /// The batch system's last word, if there is one.
        job: Option<&'a Job>,
        /// What supervisor and batch system wrote last.
        said: Option<&'a str>,
    },
    /// It was submitted, and nothing of it is on the cluster any more.
    Lost {
        /// For a person.
        message: &'a str,
    },
    /// It ends before anything of it was given to the batch system.
    NeverRan,
    /// It cannot run here.
    Rejected(&'a Rejection),
}

/// Computes the status of a pod. What others have written into it (foreign conditions, QoS class, …) is kept.
///
/// `problems`: why ephemeral containers are not on the cluster, by name. `host_ip`: the address of the virtual node. `now`:
/// seconds since 1970.
pub fn compute(
    pod: &Pod,
    view: View<'_>,
    problems: &BTreeMap<String, Rejection>,
    host_ip: Option<&str>,
    now: i64,
) -> PodStatus {
    let mut status = pod.status.clone().unwrap_or_default();
    status.observed_generation = pod.metadata.generation;
    status.start_time.get_or_insert_with(|| time(now));
    if let View::Rejected(rejection) = view {
        status.phase = Some("Failed".to_owned());
        status.reason = Some(rejection.reason.clone());
        status.message = Some(format!("Pod was rejected: {}", rejection.message));
        return status;
    }
    if let Some(ip) = host_ip {
        status.host_ip = Some(ip.to_owned());
        status.host_ips = Some(vec![HostIP { ip: ip.to_owned() }]);
    }
    let report = match view {
        View::Reported { report, .. } => Some(report),
        View::Died { report, .. } => report,
        _ => None,
    };
    if let Some(ip) = report.and_then(|report| report.ip.clone()) {
        status.pod_ips = Some(vec![PodIP { ip: ip.clone() }]);
        status.pod_ip = Some(ip);
    }
    let terminal = match view {
        View::Reported { report, .. } => report.stage == Stage::Ended,
        View::Died { .. } | View::Lost { .. } | View::NeverRan => true,
        View::Waiting { .. } | View::Rejected(_) => false,
    };
    containers::fill(&mut status, pod, view, terminal);
    ephemeral::fill(&mut status, pod, view, terminal, problems);
    let late = deadline::of(pod).is_some_and(|due| now >= due);
    let verdict = if terminal {
        verdict(view, late)
    } else {
        Verdict::default()
    };
    let phase = match phase::of(pod, &status, terminal) {
        _ if verdict.failed => "Failed",
        // As on a kubelet, a pod is not over while something of it still runs.
        "Succeeded" | "Failed" if ephemeral::runs(&status) => "Running",
        phase => phase,
    };
    status.phase = Some(phase.to_owned());
    if verdict.reason.is_some() {
        status.reason = verdict.reason;
    }
    if verdict.message.is_some() {
        status.message = verdict.message;
    }
    conditions::fill(&mut status, pod, view, now);
    if verdict.disrupted {
        let message = status.message.clone().unwrap_or_default();
        conditions::set(
            &mut status,
            pod,
            "DisruptionTarget",
            true,
            Some("TerminationByKubelet"),
            Some(&message),
            now,
        );
    }
    status
}

/// What the pod as a whole came to, beyond what its containers say.
#[derive(Default)]
struct Verdict {
    failed: bool,
    reason: Option<String>,
    message: Option<String>,
    disrupted: bool,
}

/// `late`: the pod's deadline has passed.
fn verdict(view: View<'_>, late: bool) -> Verdict {
    let failed = |reason: &str, message: String| Verdict {
        failed: true,
        reason: Some(reason.to_owned()),
        message: Some(message).filter(|message| !message.is_empty()),
        disrupted: false,
    };
    match view {
        View::Reported { report, job } => match report.reason.as_deref() {
            Some(reason @ ("DeadlineExceeded" | "Evicted" | "WalltimeExceeded")) => {
                failed(reason, report.message.clone())
            }
            // It was told so, for a deadline that came after it had begun.
            Some("Stopped") if late => failed("DeadlineExceeded", deadline::MESSAGE.to_owned()),
            Some("Terminated") => {
                let (reason, disrupted) = match job.map(|job| job.state) {
                    Some(JobState::Timeout) => ("WalltimeExceeded", false),
                    Some(JobState::Preempted) => ("Preempted", true),
                    Some(JobState::NodeFail) => ("NodeFailure", true),
                    _ => ("Terminated", true),
                };
                Verdict {
                    disrupted,
                    ..failed(reason, report.message.clone())
                }
            }
            Some("Error") if !report.message.is_empty() => Verdict {
                message: Some(report.message.clone()),
                failed: true,
                ..Verdict::default()
            },
            _ => Verdict::default(),
        },
        View::Died { job, said, .. } => {
            let (reason, disrupted) = match job.map(|job| job.state) {
                Some(JobState::Timeout) => ("WalltimeExceeded", false),
                Some(JobState::Preempted) => ("Preempted", true),
                Some(JobState::NodeFail) => ("NodeFailure", true),
                Some(JobState::OutOfMemory) => ("OOMKilled", false),
                Some(JobState::Cancelled) => ("JobCancelled", true),
                Some(JobState::Deadline) => ("DeadlineExceeded", false),
                Some(JobState::Gone) | None => ("JobLost", false),
                Some(_) => ("JobFailed", false),
            };
            let mut words = job.map_or_else(
                || "the batch system does not know its job".to_owned(),
                |job| format!("job {} ended without a last report: {}", job.id, job.text),
            );
            if let Some(said) = said {
                words = format!("{words}; its log ends with: {said}");
            }
            Verdict {
                disrupted,
                ..failed(reason, words)
            }
        }
        View::Lost { message } => failed("Lost", message.to_owned()),
        View::Waiting { .. } | View::NeverRan | View::Rejected(_) => Verdict::default(),
    }
}

/// The pod's phase is a final one.
pub fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The API knows that this pod was given to the batch system, or that something of it has run: it must not be given again.
pub fn was_submitted(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ran = |list: &Option<Vec<k8s_openapi::api::core::v1::ContainerStatus>>| {
        list.iter().flatten().any(|container| {
            container.container_id.is_some()
                || container
                    .state
                    .as_ref()
                    .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
        })
    };
    submitted(status).is_some() || ran(&status.container_statuses) || ran(&status.init_container_statuses)
}

pub(crate) fn time(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests;
