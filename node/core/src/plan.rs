//! What to do next: a pure function of what is wanted, what is there and what has been tried.
//!
//! Planning again once the effects are visible yields nothing (invariant 6). A pod that the API or the cluster knows to have
//! been given to the batch system is never given again, except when the batch system, asked again and again, has never
//! heard of it and nothing of it has begun (invariants 2 and 3).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use k8s_openapi::jiff::Timestamp;

use crate::answer::{Job, JobState, Stage};
use crate::deadline;
use crate::observed::{Directory, Observed, RemotePod};
use crate::status::{self, View};
use crate::translate::Rejection;

/// How long after the end of a job its last report may still be on its way (file servers cache), seconds.
pub const SETTLE_S: i64 = 15;
/// The same where nothing of the pod had begun, seconds.
pub const SETTLE_UNSTARTED_S: i64 = 2;
/// The same when the batch system does not know the job any more, seconds: all of them at once may be its failure.
pub const SETTLE_GONE_S: i64 = 60;
/// How long a job whose submission had no answer must not have been found before its pod is submitted again, seconds:
/// more than three times the longest time that Slurm's own commands take to give up.
pub const RESUBMIT_S: i64 = 180;
/// Between looks at whether the batch system has been asked since a job has to be given up, seconds.
const ASKED_AGAIN_S: i64 = 5;
/// How long a pod may wait for its submission, a submission for its answer, and a job for its start before the API is told
/// so, seconds: in a burst of pods, most of that is over by then, and each status costs the API server more than it says.
pub const QUICK_S: i64 = 2;
/// Expected starts of jobs are told in steps of so many seconds.
const COARSE_S: i64 = 900;
/// How long the directory of a pod stays that is gone: whoever follows a log has to read its end, seconds.
pub const LINGER_S: i64 = 10;
/// How long after a pod's deadline its job is told of it, seconds: it knows the one that it was made with by itself.
pub const DEADLINE_S: i64 = 3;
/// What a pod gets beyond its grace before its job is ended by force, seconds.
pub const KILL_SLACK_S: i64 = 30;

/// What has been tried for one pod since the agent started. Losing it costs a repetition of something harmless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memo {
    /// Something is being done for this pod right now: nothing else is begun meanwhile.
    pub busy: bool,
    /// It can never run here.
    pub rejection: Option<Rejection>,
    /// Why it was not submitted so far.
    pub obstacle: Option<Obstacle>,
    /// It was told to end.
    pub told: Option<Told>,
    /// The API has confirmed that there is no such pod any more: when, seconds since 1970.
    pub gone_since: Option<i64>,
    /// Its object was let go; finalizers of others may keep it in sight.
    pub released: bool,
    /// Something for this pod failed: nothing is tried before this time, seconds since 1970.
    pub pause_until: i64,
    /// Why ephemeral containers of it are not on the cluster, by name.
    pub problems: BTreeMap<String, Rejection>,
}

/// Why a pod was not submitted, and when it is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// How often in a row.
    pub times: u32,
    /// Seconds since 1970.
    pub not_before: i64,
}

/// A pod was told to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// The grace it was given; `None`: its own.
    pub grace: Option<u64>,
    /// When, seconds since 1970.
    pub at: i64,
    /// When its job was ended by force, seconds since 1970.
    pub killed_at: Option<i64>,
}

/// What has been tried, by UID.
pub type Ledger = BTreeMap<String, Memo>;

/// What to do. Each list has its own kind of effect; a pod is in one of them at most.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Translate and give to the batch system.
    pub submit: Vec<String>,
    /// Tell to end, with that grace in seconds (`None`: the pod's own).
    pub cancel: Vec<(String, Option<u64>)>,
    /// End by force.
    pub kill: Vec<String>,
    /// Delete the directory on the cluster.
    pub forget: Vec<String>,
    /// Read the pod's directory again.
    pub rescan: Vec<String>,
    /// Ask the API whether the pod is really gone.
    pub confirm: Vec<String>,
    /// Let the pod's object go: nothing of it can run any more, and the API knows how it ended.
    pub delete: Vec<String>,
    /// Statuses that differ from what the API has.
    pub statuses: Vec<(String, PodStatus)>,
    /// When to plan again even if nothing happens, seconds since 1970.
    pub wake_at: Option<i64>,
}

/// Plans.
///
/// `desired` is `None` until the API has told all pods of all nodes once. `host_ip`: the address of each pod's node.
pub fn plan<P: AsRef<Pod>>(
    desired: Option<&BTreeMap<String, P>>,
    observed: &Observed,
    ledger: &Ledger,
    host_ip: impl Fn(&Pod) -> Option<String>,
    now: i64,
) -> Plan {
    let mut plan = Plan::default();
    let Some(desired) = desired else { return plan };
    let nothing = Memo::default();
    for (uid, pod) in desired {
        let pod = pod.as_ref();
        let memo = ledger.get(uid).unwrap_or(&nothing);
        let remote = observed.pods().get(uid);
        let decision = present(pod, remote, memo, observed, now);
        if let Some(view) = decision.view.as_ref().and_then(|view| view.of(remote, memo)) {
            let status = status::compute(pod, view, &memo.problems, host_ip(pod).as_deref(), now);
            if pod.status.as_ref() != Some(&status) {
                plan.statuses.push((uid.clone(), status));
            }
        }
        plan.take(uid, decision.act, memo, now);
    }
    for (uid, remote) in observed.pods().iter().filter(|(uid, _)| !desired.contains_key(*uid)) {
        let memo = ledger.get(uid).unwrap_or(&nothing);
        plan.take(uid, absent(remote, memo, observed, now), memo, now);
    }
    plan
}

impl Plan {
    fn take(&mut self, uid: &str, act: Act, memo: &Memo, now: i64) {
        let uid = uid.to_owned();
        let mut wake = |at: i64| self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
        match act {
            Act::Wait(Some(at)) => wake(at),
            Act::Wait(None) => {}
            _ if memo.busy => {}
            _ if memo.pause_until > now => wake(memo.pause_until),
            Act::Delete if memo.released => {}
            Act::Submit(at) => {
                at.into_iter().for_each(wake);
                self.submit.push(uid);
            }
            Act::Cancel(grace) => self.cancel.push((uid, grace)),
            Act::Kill => self.kill.push(uid),
            Act::Forget => self.forget.push(uid),
            Act::Rescan => self.rescan.push(uid),
            Act::Confirm => self.confirm.push(uid),
            Act::Delete => self.delete.push(uid),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// Nothing; look again at that time at the latest.
    Wait(Option<i64>),
    /// Submit it; if that cannot be now, look again at that time at the latest.
    Submit(Option<i64>),
    Cancel(Option<u64>),
    Kill,
    Forget,
    Rescan,
    Confirm,
    Delete,
}

struct Decision {
    act: Act,
    view: Option<Shown>,
}

/// What the status shall show.
enum Shown {
    Waiting { message: String },
    Remote,
    Died,
    Lost,
    NeverRan,
    Rejected,
}

impl Shown {
    fn of<'a>(&'a self, remote: Option<&'a RemotePod>, memo: &'a Memo) -> Option<View<'a>> {
        let report = remote.and_then(|remote| remote.report.as_ref());
        let job = remote.and_then(|remote| remote.queue.as_ref());
        Some(match self {
            Self::Waiting { message } => View::Waiting {
                reason: match (remote, &memo.obstacle) {
                    (Some(_), _) if job.is_some_and(|job| job.reason.as_deref() == Some("limit")) => "JobCannotStart",
                    (None, Some(obstacle)) => &obstacle.reason,
                    _ => "ContainerCreating",
                },
                message,
                job: remote.and_then(|remote| remote.job.as_deref()),
                queue: job,
            },
            Self::Remote => match report {
                Some(report) => View::Reported { report, job },
                None => return None,
            },
            Self::Died => View::Died {
                report,
                job,
                said: remote.and_then(|remote| remote.said.as_deref()),
            },
            Self::Lost => View::Lost {
                message: "the pod was given to the batch system, and nothing of it is on the cluster any more",
            },
            Self::NeverRan => View::NeverRan,
            Self::Rejected => View::Rejected(memo.rejection.as_ref()?),
        })
    }
}

/// A pod that the API has.
fn present(pod: &Pod, remote: Option<&RemotePod>, memo: &Memo, observed: &Observed, now: i64) -> Decision {
    let only = |act| Decision { act, view: None };
    let terminal = status::is_terminal(pod);
    let deleting = pod.metadata.deletion_timestamp.is_some();
    let Some(remote) = remote else {
        if !observed.complete() {
            return only(Act::Wait(None));
        }
        return match () {
            () if terminal && deleting => only(Act::Delete),
            () if terminal => only(Act::Wait(None)),
            () if memo.busy => only(Act::Wait(None)),
            () => missing(pod, memo, deleting, now),
        };
    };
    let waiting = || Shown::Waiting {
        message: queue_message(remote),
    };
    let over = match over(remote, observed, now) {
        Over::Yes => true,
        Over::No(at) => {
            // Ended in the queue, or nearly so: nothing is begun any more, the time decides.
            if at.is_some() && !terminal && !deleting {
                return Decision {
                    act: Act::Wait(at),
                    view: remote.report.is_some().then_some(Shown::Remote),
                };
            }
            false
        }
        Over::Rescan => {
            let unread = remote.directory == Directory::Unread && !terminal;
            return Decision {
                act: Act::Rescan,
                view: unread.then(waiting),
            };
        }
        Over::Unsubmitted if deleting || terminal => true,
        Over::Unsubmitted => return only(Act::Forget),
    };
    let grace = pod
        .metadata
        .deletion_grace_period_seconds
        .and_then(|seconds| u64::try_from(seconds).ok());
    // The answer to its submission, and then its first report, say more in a moment.
    let quick = remote.directory != Directory::Unread && remote.queue.is_none() && now < remote.scanned_at + QUICK_S;
    // (A job that already ends its pod need not be told.)
    let runs = remote
        .report
        .as_ref()
        .is_some_and(|report| matches!(report.stage, Stage::Starting | Stage::Running));
    let due = deadline::of(pod)
        .map(|due| due.saturating_add(DEADLINE_S))
        .filter(|_| runs || memo.told.is_some());
    let act = match () {
        () if over && terminal && deleting => Act::Delete,
        () if over => Act::Wait(None),
        () if deleting => stop(grace, own_grace(pod), memo, now),
        () if terminal => stop(None, own_grace(pod), memo, now),
        () if due.is_some_and(|due| now >= due) => stop(None, own_grace(pod), memo, now),
        () if due.is_some() => Act::Wait(due),
        () if quick => Act::Wait(Some(remote.scanned_at + QUICK_S)),
        () => Act::Wait(None),
    };
    let view = match () {
        () if terminal => None,
        () if over && !remote.ended() => Some(Shown::Died),
        () if remote.report.is_some() => Some(Shown::Remote),
        () if quick => None,
        () => Some(waiting()),
    };
    Decision { act, view }
}

fn own_grace(pod: &Pod) -> i64 {
    let own = pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
    own.unwrap_or(crate::translate::DEFAULT_GRACE_S)
}

/// A pod that the API has and the cluster has not.
fn missing(pod: &Pod, memo: &Memo, deleting: bool, now: i64) -> Decision {
    let wait = |view| Decision {
        act: Act::Wait(None),
        view: Some(view),
    };
    if status::was_submitted(pod) {
        return wait(Shown::Lost);
    }
    if memo.rejection.is_some() {
        return wait(Shown::Rejected);
    }
    if deleting {
        return wait(Shown::NeverRan);
    }
    let message = memo
        .obstacle
        .as_ref()
        .map(|obstacle| obstacle.message.clone())
        .unwrap_or_default();
    let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0.as_second());
    let quick = created
        .map(|created| created + QUICK_S)
        .filter(|due| now < *due && memo.obstacle.is_none());
    let act = match &memo.obstacle {
        Some(obstacle) if obstacle.not_before > now => Act::Wait(Some(obstacle.not_before)),
        _ => Act::Submit(quick),
    };
    Decision {
        act,
        view: quick.is_none().then_some(Shown::Waiting { message }),
    }
}

/// A pod that the cluster has and the API has not.
fn absent(remote: &RemotePod, memo: &Memo, observed: &Observed, now: i64) -> Act {
    let Some(since) = memo.gone_since else {
        return Act::Confirm;
    };
    match over(remote, observed, now) {
        Over::Yes | Over::Unsubmitted if now < since + LINGER_S => Act::Wait(Some(since + LINGER_S)),
        Over::Yes | Over::Unsubmitted => Act::Forget,
        Over::Rescan => Act::Rescan,
        Over::No(_) => stop(None, crate::translate::DEFAULT_GRACE_S, memo, now),
    }
}

enum Over {
    /// Nothing of it can be running.
    Yes,
    /// It may be running; if a time is given, it seems to be over and is judged then.
    No(Option<i64>),
    /// It seems to be over, but its directory may know better.
    Rescan,
    /// It was never submitted: the batch system has never heard of it and nothing has begun.
    Unsubmitted,
}

fn over(remote: &RemotePod, observed: &Observed, now: i64) -> Over {
    if remote.ended() {
        return Over::Yes;
    }
    match remote.directory {
        Directory::There => {}
        Directory::BeingMade => return Over::No(None),
        Directory::Unread => return Over::Rescan,
    }
    let started = remote.started();
    // A job that is said to have ended has; one that is not known was perhaps not looked up well.
    let (since, settle, verdict, doubtful) = match (remote.over_since, remote.unfound_since) {
        (Some(since), _) if remote.queue.as_ref().is_some_and(|job| job.state == JobState::Gone) => {
            (since, SETTLE_GONE_S, Over::Yes, true)
        }
        (Some(since), _) if started => (since, SETTLE_S, Over::Yes, false),
        (Some(since), _) => (since, SETTLE_UNSTARTED_S, Over::Yes, false),
        (None, Some(since)) if started => (since, SETTLE_GONE_S, Over::Yes, true),
        (None, Some(since)) if remote.job.is_none() => (since, RESUBMIT_S, Over::Unsubmitted, true),
        _ => return Over::No(None),
    };
    let due = since + settle;
    if now < due {
        Over::No(Some(due))
    } else if doubtful && observed.listed_at().is_none_or(|at| at < due) {
        Over::No(Some(now + ASKED_AGAIN_S))
    } else if remote.scanned_at < due {
        Over::Rescan
    } else {
        verdict
    }
}

/// Tells a pod to end, and ends it by force when it does not.
fn stop(grace: Option<u64>, own_grace: i64, memo: &Memo, now: i64) -> Act {
    let Some(told) = &memo.told else {
        return Act::Cancel(grace);
    };
    let shorter = match (grace, told.grace) {
        (Some(grace), Some(before)) => grace < before,
        (Some(_), None) => true,
        (None, _) => false,
    };
    if shorter {
        return Act::Cancel(grace);
    }
    let patience = told.grace.and_then(|s| i64::try_from(s).ok()).unwrap_or(own_grace) + KILL_SLACK_S;
    let due = told.killed_at.map_or(told.at + patience, |at| at + 2 * KILL_SLACK_S);
    if now >= due { Act::Kill } else { Act::Wait(Some(due)) }
}

/// What a pod waits for whose supervisor has not reported yet.
fn queue_message(remote: &RemotePod) -> String {
    let Some(id) = &remote.job else {
        if remote.directory == Directory::BeingMade {
            return String::new();
        }
        return "its submission had no answer, its job is being looked up".to_owned();
    };
    match &remote.queue {
        None => just_submitted(&format!("job {id}")),
        Some(job) => describe(job),
    }
}

/// What is said of a job of which the batch system has said nothing yet.
pub fn just_submitted(job: &str) -> String {
    format!("{job} was submitted")
}

/// What a job waits for, for a person.
pub fn describe(job: &Job) -> String {
    let Job { id, text, .. } = job;
    if let (JobState::Pending, Some(start)) = (job.state, job.start) {
        return format!(
            "job {id} waits in the queue: {text}, expected to start by {}",
            coarse(start)
        );
    }
    match (job.state, job.reason.as_deref()) {
        (JobState::Held, _) => format!("job {id} is held: {text}"),
        (JobState::Pending, Some("limit")) => format!("job {id} can never start as asked: {text}"),
        (JobState::Pending, _) => format!("job {id} waits in the queue: {text}"),
        (JobState::Suspended, _) => format!("job {id} is suspended: {text}"),
        (JobState::Unknown, _) => format!("job {id} is in a state that is not known: {text}"),
        (state, _) if state.ended() => format!("job {id} is over: {text}"),
        _ => format!("job {id} is starting: {text}"),
    }
}

/// A time for a person. An expected start is an estimate that moves all the time: what is said of it shall not.
fn coarse(seconds: i64) -> Timestamp {
    let rounded = seconds.saturating_add(COARSE_S - 1) / COARSE_S * COARSE_S;
    Timestamp::from_second(rounded).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
