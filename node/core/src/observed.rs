//! What is known of the cluster: the sum of all looks so far.
//!
//! Everything here comes from complete answers (invariant 1), so a failed look changes nothing. A later answer adds to an
//! earlier one; only a scan says what is *not* there. A pod is known from the moment at which its submission begins, so that
//! whatever is heard of it before the submission answers finds its place.

use std::collections::{BTreeMap, BTreeSet};

use crate::answer::{Job, Look, Report, ReportedEvent, ScannedPod, Stage, Submission};
use crate::content::Content;

/// Whether a pod has a directory on the cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Directory {
    /// It has: a scan found it, or its submission answered.
    #[default]
    There,
    /// It is being submitted right now.
    BeingMade,
    /// A submission ended without an answer that tells, or found an older directory: it has to be read.
    Unread,
}

/// One pod's directory on the cluster and the job that belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemotePod {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// Whether the directory is there.
    pub directory: Directory,
    /// The job's id: heard at submission, or found by the job's name.
    pub job: Option<String>,
    /// Some job began to run this pod: it must never run again.
    pub claimed: bool,
    /// A submission was under way or ended without an answer.
    pub submitting: bool,
    /// The pod was told to end.
    pub stop: bool,
    /// The newest report of its supervisor.
    pub report: Option<Report>,
    /// The number of the newest report whose events are known: by us, or by an earlier agent that took the report away.
    pub heard: Option<u64>,
    /// Events that nobody was told yet.
    pub news: Vec<ReportedEvent>,
    /// What the batch system said last.
    pub queue: Option<Job>,
    /// Since when the batch system, asked successfully, has not shown a job for this pod, seconds since 1970.
    pub unfound_since: Option<i64>,
    /// Since when the batch system has said that the job is over although no last report has come, seconds since 1970.
    pub over_since: Option<i64>,
    /// The last words of supervisor and batch system, where they were asked for.
    pub said: Option<String>,
    /// What its volumes from the API hold, as far as is known.
    pub content: Option<Content>,
    /// When the directory itself was read last, or when it began to be made, seconds since 1970.
    pub scanned_at: i64,
}

impl RemotePod {
    /// The supervisor has sent its last report: nothing of the pod can still be running.
    pub fn ended(&self) -> bool {
        self.report.as_ref().is_some_and(|report| report.stage == Stage::Ended)
    }

    /// A job or a container of this pod has begun.
    pub fn started(&self) -> bool {
        self.claimed || self.report.is_some()
    }
}

/// Everything that is known of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    pods: BTreeMap<String, RemotePod>,
    complete: bool,
    listed_at: Option<i64>,
}

impl Observed {
    /// All pods that have a directory on the cluster, or may have one, by UID.
    pub fn pods(&self) -> &BTreeMap<String, RemotePod> {
        &self.pods
    }

    /// A scan of everything has succeeded since the start.
    pub fn complete(&self) -> bool {
        self.complete
    }

    /// When the batch system was asked successfully for the last time, seconds since 1970.
    pub fn listed_at(&self) -> Option<i64> {
        self.listed_at
    }

    /// Takes in the scan of everything that comes before all else.
    pub fn scanned(&mut self, scan: BTreeMap<String, ScannedPod>, now: i64) {
        self.complete = true;
        for (uid, found) in scan {
            self.found(uid, found, now);
        }
    }

    /// Takes in a scan of these pods: those that it does not have have no directory.
    pub fn rescanned(&mut self, asked: &[String], mut scan: BTreeMap<String, ScannedPod>, now: i64) {
        for uid in asked {
            match scan.remove(uid) {
                Some(found) => self.found(uid.clone(), found, now),
                None => self.removed(uid),
            }
        }
    }

    fn found(&mut self, uid: String, found: ScannedPod, now: i64) {
        let pod = self.pods.entry(uid).or_default();
        pod.namespace = found.namespace;
        pod.name = found.name;
        pod.directory = Directory::There;
        pod.job = found.job.or(pod.job.take());
        pod.claimed |= found.claim.is_some();
        pod.submitting = found.submitting;
        pod.stop |= found.stop;
        pod.said = found.said.or(pod.said.take());
        pod.content = found.content.or(pod.content.take());
        pod.scanned_at = now;
        if let Some(report) = found.report {
            newer(pod, report);
        }
    }

    /// Takes in a look at the spool. Reports of pods that have no directory are left-overs and are passed over.
    pub fn looked(&mut self, look: &Look) {
        for (uid, report) in &look.reports {
            if let Some(pod) = self.pods.get_mut(uid) {
                // What an earlier agent has taken away, it has told about.
                if pod.heard.is_none() {
                    pod.heard = look.oldest(uid).map(|seq| seq.saturating_sub(1));
                }
                newer(pod, report.clone());
            }
        }
    }

    /// Takes in the batch system's answer.
    pub fn listed(&mut self, jobs: Vec<Job>, now: i64) {
        self.listed_at = Some(now);
        let mut seen = BTreeSet::new();
        for job in jobs {
            let named = job.uid.clone().filter(|uid| self.pods.contains_key(uid));
            let uid = named.or_else(|| {
                let known = |pod: &RemotePod| pod.job.as_deref() == Some(job.id.as_str());
                self.pods.iter().find(|(_, pod)| known(pod)).map(|(uid, _)| uid.clone())
            });
            let Some(pod) = uid.as_ref().and_then(|uid| self.pods.get_mut(uid)) else {
                continue;
            };
            // Of two jobs with one pod's name only one has the claim. The report says which.
            let other = pod.report.as_ref().is_some_and(|report| report.job != job.id)
                || pod.job.as_ref().is_some_and(|known| *known != job.id);
            if other && (pod.report.is_some() || job.state.ended()) {
                continue;
            }
            seen.extend(uid);
            pod.job.get_or_insert_with(|| job.id.clone());
            let over = job.state.ended() && !pod.ended();
            pod.over_since = over.then(|| pod.over_since.unwrap_or(now));
            pod.queue = Some(job);
        }
        for (uid, pod) in &mut self.pods {
            let unfound = !seen.contains(uid) && !pod.ended() && pod.directory == Directory::There;
            pod.unfound_since = unfound.then(|| pod.unfound_since.unwrap_or(now));
        }
    }

    /// The submission of a pod begins. Its names are needed should its object vanish meanwhile.
    pub fn submitting(&mut self, uid: &str, namespace: &str, name: &str, now: i64) {
        let pod = self.pods.entry(uid.to_owned()).or_default();
        pod.namespace = namespace.to_owned();
        pod.name = name.to_owned();
        pod.heard = Some(0);
        pod.directory = Directory::BeingMade;
        pod.scanned_at = now;
    }

    /// Takes in what the submission of a pod has answered; `None`: nothing that tells.
    pub fn submitted(&mut self, uid: &str, outcome: Option<&Submission>, now: i64) {
        let Some(pod) = self.pods.get_mut(uid) else { return };
        pod.directory = match outcome {
            Some(Submission::Refused { .. }) => return self.removed(uid),
            Some(Submission::Submitted { .. } | Submission::Unknown { .. }) => Directory::There,
            Some(Submission::Exists { .. }) | None => Directory::Unread,
        };
        if let Some(Submission::Submitted { job } | Submission::Exists { job: Some(job) }) = outcome {
            pod.job.get_or_insert_with(|| job.clone());
        }
        pod.submitting = pod.job.is_none();
        pod.scanned_at = now;
    }

    /// A pod's volumes hold this from now on.
    pub fn holds(&mut self, uid: &str, content: Content) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.content = Some(content);
        }
    }

    /// What happened to pods since it was asked for last.
    pub fn news(&mut self) -> Vec<(String, ReportedEvent)> {
        let mut all = Vec::new();
        for (uid, pod) in &mut self.pods {
            all.extend(pod.news.drain(..).map(|event| (uid.clone(), event)));
        }
        all
    }

    /// A cancellation was accepted: the pod's directory says so from now on.
    pub fn told_to_stop(&mut self, uid: &str) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.stop = true;
        }
    }

    /// A pod's directory is gone.
    pub fn removed(&mut self, uid: &str) {
        self.pods.remove(uid);
    }

    /// The ids that the batch system has to be asked for by name: jobs that have not ended as far as is known.
    pub fn open_jobs(&self) -> Vec<String> {
        let open = self.pods.values().filter(|pod| !pod.ended());
        open.filter_map(|pod| pod.job.clone()).collect()
    }
}

fn newer(pod: &mut RemotePod, report: Report) {
    pod.claimed = true;
    pod.submitting = false;
    // The job that reports is the one that runs the pod, whatever was heard at submission.
    pod.job = Some(report.job.clone());
    if let Some(heard) = pod.heard {
        pod.news
            .extend(report.events.iter().filter(|event| event.seq > heard).cloned());
        pod.heard = Some(heard.max(report.seq));
    }
    if pod.report.as_ref().is_none_or(|known| known.seq < report.seq) {
        pod.report = Some(report);
    }
    if pod.ended() {
        pod.over_since = None;
        pod.unfound_since = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::JobState;

    fn job(uid: Option<&str>, id: &str, state: JobState) -> Job {
        Job {
            uid: uid.map(str::to_owned),
            id: id.to_owned(),
            state,
            start: None,
            end: None,
            exit: None,
            host: None,
            reason: None,
            text: String::new(),
        }
    }

    fn submitted(uid: &str, outcome: &Submission) -> Observed {
        let mut observed = Observed::default();
        observed.submitting(uid, "ns", "p", 1);
        observed.submitted(uid, Some(outcome), 1);
        observed
    }

    #[test]
    fn a_job_whose_id_nobody_heard_is_found_by_its_name() {
        let mut observed = submitted("u", &Submission::Unknown { text: String::new() });
        assert!(observed.pods()["u"].submitting);
        observed.listed(vec![job(Some("u"), "7", JobState::Pending)], 5);
        assert_eq!(observed.pods()["u"].job.as_deref(), Some("7"));
        assert_eq!(observed.pods()["u"].unfound_since, None);
    }

    #[test]
    fn a_job_that_is_not_shown_is_unfound_since_the_first_time() {
        let mut observed = submitted("u", &Submission::Unknown { text: String::new() });
        observed.listed(vec![], 5);
        observed.listed(vec![], 9);
        assert_eq!(observed.pods()["u"].unfound_since, Some(5));
    }

    #[test]
    fn what_a_scan_of_named_pods_does_not_have_is_not_there() {
        let mut observed = submitted("u", &Submission::Submitted { job: "7".into() });
        observed.rescanned(&["v".into()], BTreeMap::new(), 2);
        assert!(observed.pods().contains_key("u") && !observed.complete());
        observed.rescanned(&["u".into()], BTreeMap::new(), 3);
        assert!(observed.pods().is_empty());
    }

    #[test]
    fn a_report_that_overtakes_the_answer_of_the_submission_is_kept() {
        let mut observed = Observed::default();
        observed.submitting("u", "ns", "p", 1);
        let report = Report {
            uid: "u".into(),
            seq: 3,
            time: 5,
            job: "7".into(),
            host: "c1".into(),
            ip: None,
            stage: Stage::Ended,
            reason: None,
            message: String::new(),
            containers: vec![],
            events: vec![],
        };
        observed.looked(&Look {
            reports: BTreeMap::from([("u".to_owned(), report)]),
            ..Look::default()
        });
        observed.submitted("u", Some(&Submission::Submitted { job: "7".into() }), 6);
        let pod = &observed.pods()["u"];
        assert!(pod.ended() && pod.namespace == "ns" && pod.directory == Directory::There);
    }

    #[test]
    fn an_event_is_told_once_whatever_reports_repeat_it() {
        let event = |seq| ReportedEvent {
            seq,
            time: 5,
            warning: true,
            reason: "Unhealthy".into(),
            container: "main".into(),
            message: format!("event {seq}"),
        };
        let look = |names: &[&str], seq, events: &[u64]| Look {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            reports: BTreeMap::from([(
                "u".to_owned(),
                Report {
                    uid: "u".into(),
                    seq,
                    time: 5,
                    job: "7".into(),
                    host: "c1".into(),
                    ip: None,
                    stage: Stage::Running,
                    reason: None,
                    message: String::new(),
                    containers: vec![],
                    events: events.iter().map(|seq| event(*seq)).collect(),
                },
            )]),
            ..Look::default()
        };
        let told = |observed: &mut Observed| observed.news().iter().map(|(_, event)| event.seq).collect::<Vec<_>>();
        let mut observed = Observed::default();
        observed.submitting("u", "ns", "p", 1);
        observed.looked(&look(&["u.00000002"], 2, &[1, 2]));
        assert_eq!(told(&mut observed), [1, 2]);
        observed.looked(&look(&["u.00000002", "u.00000003"], 3, &[1, 2, 3]));
        assert_eq!(told(&mut observed), [3]);
        // An agent that starts anew: what was read before is not told again.
        let mut observed = Observed::default();
        observed.pods.insert("u".to_owned(), RemotePod::default());
        observed.looked(&look(&["u.00000004", "u.00000003"], 4, &[2, 3, 4]));
        assert_eq!(told(&mut observed), [3, 4]);
    }

    #[test]
    fn without_an_answer_the_directory_has_to_be_read_and_the_batch_system_is_not_believed() {
        let mut observed = Observed::default();
        observed.submitting("u", "ns", "p", 1);
        observed.listed(vec![], 2);
        observed.submitted("u", None, 3);
        observed.listed(vec![], 4);
        assert_eq!(observed.pods()["u"].directory, Directory::Unread);
        assert_eq!(observed.pods()["u"].unfound_since, None);
        let refused = Submission::Refused {
            retry: true,
            reason: "QueueLimit".into(),
            text: String::new(),
        };
        observed.submitted("u", Some(&refused), 5);
        assert!(observed.pods().is_empty());
    }

    #[test]
    fn a_second_job_of_the_same_name_does_not_hide_the_first() {
        let mut observed = submitted("u", &Submission::Submitted { job: "7".into() });
        observed.listed(
            vec![
                job(Some("u"), "7", JobState::Running),
                job(Some("u"), "8", JobState::Completed),
            ],
            5,
        );
        assert_eq!(observed.pods()["u"].queue.as_ref().unwrap().id, "7");
        assert_eq!(observed.pods()["u"].over_since, None);
    }
}
