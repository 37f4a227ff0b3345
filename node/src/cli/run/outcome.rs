//! How a pod ended, and with which exit code `run` ends for it.

use towline_core::answer::{ContainerReport, ContainerStage, JobState, Report};
use towline_core::observed::RemotePod;
use towline_core::plan;

use super::code;

/// How long a last report may be on its way after the batch system says that the job is over, seconds.
const LATE_REPORT: i64 = 10;
/// How long a job may be missing from the queue before it is lost, seconds.
const MISSING: i64 = 60;

/// A pod is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub success: bool,
    pub code: u8,
    /// For a person; empty if all went well.
    pub message: String,
    /// The supervisor has told how it ended.
    pub told: bool,
    /// When the failing container ended, seconds since 1970.
    pub at: i64,
}

impl Outcome {
    pub fn failed(code: u8, message: impl Into<String>, at: i64) -> Self {
        Self {
            success: false,
            code,
            message: message.into(),
            told: false,
            at,
        }
    }
}

/// How a pod ended; `None` while it may still be running. `now`: seconds since 1970.
pub fn of(pod: &RemotePod, now: i64) -> Option<Outcome> {
    if let (true, Some(report)) = (pod.ended(), &pod.report) {
        return Some(told(report, pod.queue.as_ref().map(|job| job.state)));
    }
    if let (Some(since), Some(job)) = (pod.over_since, &pod.queue) {
        let patience = if pod.stop || job.state == JobState::Cancelled {
            2
        } else {
            LATE_REPORT
        };
        if now - since < patience {
            return None;
        }
        let code = match job.state {
            JobState::Timeout | JobState::Deadline => code::TIME,
            JobState::Cancelled => code::CANCELLED,
            _ if pod.stop => code::CANCELLED,
            _ => code::LOST,
        };
        return Some(Outcome::failed(code, plan::describe(job), now));
    }
    match pod.unfound_since {
        Some(since) if now - since >= if pod.stop { 2 } else { MISSING } => {
            let code = if pod.stop { code::CANCELLED } else { code::LOST };
            Some(Outcome::failed(code, "the batch system does not know its job", now))
        }
        _ => None,
    }
}

fn told(report: &Report, state: Option<JobState>) -> Outcome {
    let reason = report.reason.as_deref().unwrap_or_default();
    if reason == "Completed" {
        return Outcome {
            success: true,
            code: 0,
            message: String::new(),
            told: true,
            at: report.time,
        };
    }
    let first = first_failure(report);
    let (code, mut message) = match reason {
        "DeadlineExceeded" => (code::TIME, "its deadline (activeDeadlineSeconds) has passed".to_owned()),
        "WalltimeExceeded" => (code::TIME, "its walltime is over".to_owned()),
        "Stopped" => (code::CANCELLED, "it was cancelled".to_owned()),
        "Terminated" if matches!(state, Some(JobState::Cancelled)) => {
            (code::CANCELLED, "its job was cancelled".to_owned())
        }
        "Terminated" if matches!(state, Some(JobState::Preempted | JobState::NodeFail)) => {
            (code::LOST, "its job was ended by the batch system".to_owned())
        }
        "Terminated" => (
            code::TIME,
            "the batch system has ended its job: its walltime is over, or it was preempted".to_owned(),
        ),
        _ => first.map_or_else(
            || (code::NOT_STARTED, not_started(report)),
            |container| (code_of(container), describe(container)),
        ),
    };
    if !report.message.is_empty() && !message.contains(&report.message) {
        message = format!("{message}: {}", report.message);
    }
    Outcome {
        success: false,
        code,
        message,
        told: true,
        at: first
            .and_then(|container| container.run.finished)
            .unwrap_or(report.time),
    }
}

/// The container that failed first.
fn first_failure(report: &Report) -> Option<&ContainerReport> {
    let failed = |container: &&ContainerReport| {
        !container.sidecar
            && container.stage == ContainerStage::Terminated
            && container.run.exit.is_some_and(|exit| exit != 0)
    };
    report
        .containers
        .iter()
        .filter(failed)
        .min_by_key(|container| container.run.finished.unwrap_or(i64::MAX))
}

fn code_of(container: &ContainerReport) -> u8 {
    match container.run.reason.as_deref() {
        Some("ContainerCannotRun" | "CreateContainerError" | "ContainerStatusUnknown") => code::NOT_STARTED,
        _ => u8::try_from(container.run.exit.unwrap_or(1)).unwrap_or(255).max(1),
    }
}

fn describe(container: &ContainerReport) -> String {
    let mut text = format!(
        "container {} ended with code {}",
        container.name,
        container.run.exit.unwrap_or(-1)
    );
    if let Some(reason) = container.run.reason.as_deref().filter(|reason| *reason != "Error") {
        text.push_str(&format!(" ({reason})"));
    }
    for said in [
        &container.message,
        container.termination_message.as_ref().unwrap_or(&String::new()),
    ] {
        if !said.is_empty() {
            text.push_str(&format!(": {said}"));
        }
    }
    text
}

fn not_started(report: &Report) -> String {
    let waiting = report
        .containers
        .iter()
        .find(|container| container.stage == ContainerStage::Waiting);
    waiting.map_or_else(
        || "it has failed".to_owned(),
        |container| {
            let reason = container.run.reason.as_deref().unwrap_or("it did not start");
            format!("container {}: {reason}: {}", container.name, container.message)
        },
    )
}

/// Where a pod is, for a person.
pub fn whereabouts(pod: &RemotePod) -> String {
    let job = || {
        pod.job
            .as_deref()
            .map_or_else(String::new, |job| format!(" (job {job})"))
    };
    if let Some(report) = &pod.report {
        let trouble = report.containers.iter().find(|container| {
            container.stage == ContainerStage::Waiting
                && !matches!(
                    container.run.reason.as_deref(),
                    None | Some("ContainerCreating" | "PodInitializing" | "Completed")
                )
        });
        if let Some(container) = trouble {
            let reason = container.run.reason.as_deref().unwrap_or_default();
            let reason = if reason == "Pulling" {
                "is pulling its image"
            } else {
                reason
            };
            let said = if container.message.is_empty() {
                String::new()
            } else {
                format!(": {}", container.message)
            };
            return format!("container {} {reason}{said}", container.name);
        }
        let running = report
            .containers
            .iter()
            .any(|container| container.stage == ContainerStage::Running);
        let verb = if running { "running" } else { "starting" };
        return format!("{verb} on {}{}", report.host, job());
    }
    match &pod.queue {
        Some(queue) => plan::describe(queue),
        None if pod.submitting => "submitted; the batch system has not said whether it took the job".to_owned(),
        None => format!("submitted{}", job()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towline_core::answer::{Ending, Stage};

    fn container(name: &str, exit: i32, finished: i64, reason: &str) -> ContainerReport {
        ContainerReport {
            name: name.to_owned(),
            init: false,
            sidecar: false,
            stage: ContainerStage::Terminated,
            restarts: 0,
            run: Ending {
                exit: Some(exit),
                finished: Some(finished),
                reason: Some(reason.to_owned()),
                ..Ending::default()
            },
            image_id: None,
            pull: None,
            message: String::new(),
            last: None,
            termination_message: None,
            last_message: None,
            started: false,
            ready: false,
        }
    }

    fn ended(reason: &str, containers: Vec<ContainerReport>) -> RemotePod {
        RemotePod {
            report: Some(Report {
                uid: "u".into(),
                seq: 1,
                time: 9,
                job: "7".into(),
                host: "h".into(),
                ip: None,
                stage: Stage::Ended,
                reason: Some(reason.into()),
                message: String::new(),
                containers,
                events: vec![],
            }),
            ..RemotePod::default()
        }
    }

    #[test]
    fn the_code_is_that_of_the_container_that_failed_first() {
        let pod = ended(
            "Error",
            vec![
                container("a", 3, 8, "Error"),
                container("b", 7, 5, "Error"),
                container("c", 0, 1, "Completed"),
            ],
        );
        let outcome = of(&pod, 10).unwrap();
        assert_eq!((outcome.code, outcome.at), (7, 5));
        assert_eq!(outcome.message, "container b ended with code 7");
        assert!(of(&ended("Completed", vec![]), 10).unwrap().success);
    }

    #[test]
    fn what_is_no_containers_fault_has_codes_of_its_own() {
        let code = |reason, container| of(&ended(reason, vec![container]), 10).unwrap().code;
        assert_eq!(code("DeadlineExceeded", container("a", 143, 5, "Error")), code::TIME);
        assert_eq!(code("Stopped", container("a", 143, 5, "Error")), code::CANCELLED);
        assert_eq!(
            code("Error", container("a", 128, 5, "ContainerCannotRun")),
            code::NOT_STARTED
        );
        assert_eq!(code("Error", container("a", 137, 5, "OOMKilled")), 137);
    }

    #[test]
    fn a_job_without_a_last_report_is_given_time() {
        let mut pod = RemotePod {
            over_since: Some(100),
            ..RemotePod::default()
        };
        pod.queue = Some(towline_core::answer::Job {
            uid: None,
            id: "7".into(),
            state: JobState::NodeFail,
            start: None,
            end: None,
            exit: None,
            host: None,
            reason: None,
            text: "NODE_FAIL".into(),
        });
        assert_eq!(of(&pod, 101), None);
        assert_eq!(of(&pod, 110).unwrap().code, code::LOST);
    }
}
