//! `towline run`: look, decide, act, and look again, until everything is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use towline_cluster::{CancelMode, Cluster};
use towline_core::answer::Submission;
use towline_core::bundle::Bundle;
use towline_core::observed::Observed;

use super::controller::Verdict;
use super::interrupt::{self, Asked};
use super::outcome::{self, Outcome};
use super::progress::Progress;
use super::streams::Streams;
use super::{Work, bundle_of, code};
use crate::cli::output;

/// Between looks, at first and when nothing has happened for a while.
const SOON: Duration = Duration::from_millis(250);
const LATER: Duration = Duration::from_secs(1);
/// Between queries of the batch system.
const QUEUE: Duration = Duration::from_secs(15);
/// How long a submission whose answer was lost may take to be seen, seconds.
const UNSEEN: i64 = 180;
/// Pods in one upload.
const TOGETHER: usize = 100;

/// A pod that was made.
struct Made {
    controller: usize,
    name: String,
    /// Until it is known to have been handed over.
    bundle: Option<Bundle>,
    retry_at: Instant,
    pause: Duration,
    /// Since when its submission may have happened without our knowing, seconds since 1970.
    unseen_since: Option<i64>,
    /// It was told to end, and how.
    told: Option<CancelMode>,
}

pub struct Attached {
    cluster: Cluster,
    work: Work,
    progress: Arc<Progress>,
    keep: bool,
    begun: Instant,
    observed: Observed,
    pods: BTreeMap<String, Made>,
    streams: Streams,
    asked_queue: Option<Instant>,
    removable: Vec<String>,
    kept: BTreeSet<String>,
    first_failure: Option<(i64, u8)>,
    link_lost: bool,
}

impl Attached {
    pub fn new(cluster: Cluster, work: Work, progress: Arc<Progress>, keep: bool) -> Self {
        let alone = work.controllers.len() == 1
            && work
                .controllers
                .iter()
                .all(|controller| !controller.is_job() && controller.containers() == 1);
        Self {
            streams: Streams::new(cluster.clone(), Arc::clone(&progress), !alone),
            cluster,
            work,
            progress,
            keep,
            begun: Instant::now(),
            observed: Observed::default(),
            pods: BTreeMap::new(),
            asked_queue: None,
            removable: Vec::new(),
            kept: BTreeSet::new(),
            first_failure: None,
            link_lost: false,
        }
    }

    /// Runs everything to its end.
    ///
    /// # Errors
    /// What keeps anything from being run at all, or from being looked after.
    pub async fn run(mut self) -> anyhow::Result<u8> {
        let mut asked = interrupt::listen()?;
        for controller in self
            .work
            .controllers
            .iter()
            .filter(|controller| controller.never_ends())
        {
            let note = "its restartPolicy is Always (the default): its containers are started again and again until you cancel it";
            self.progress.line(&format!("{}: {note}", controller.name));
        }
        let mut quiet_since = Instant::now();
        loop {
            let now_asked = *asked.borrow_and_update();
            if now_asked.times == 0 {
                self.make()?;
            }
            self.submit(now_asked).await?;
            let before = self.pods.len();
            if self.look(now_asked).await? {
                quiet_since = Instant::now();
            }
            self.end(now_asked).await;
            if self.pods.len() != before {
                quiet_since = Instant::now();
                // Its successor may be wanted at once.
                continue;
            }
            let elapsed = self.begun.elapsed();
            let over =
                |at: Asked| at.times > 0 || self.work.controllers.iter().all(|one| one.verdict(elapsed).is_some());
            if self.pods.is_empty() && over(now_asked) {
                break;
            }
            let pause = if quiet_since.elapsed() < Duration::from_secs(5) {
                SOON
            } else {
                LATER
            };
            wait(pause, &mut asked, now_asked).await;
        }
        self.finish(*asked.borrow()).await
    }

    /// Makes the pods that are wanted now.
    fn make(&mut self) -> anyhow::Result<()> {
        let elapsed = self.begun.elapsed();
        for (n, controller) in self.work.controllers.iter_mut().enumerate() {
            for pod in controller.next(elapsed) {
                let bundle = bundle_of(&pod, &self.work.manifest, &self.work.site)?;
                let made = Made {
                    controller: n,
                    name: bundle.name.clone(),
                    retry_at: Instant::now(),
                    pause: Duration::from_secs(5),
                    unseen_since: None,
                    told: None,
                    bundle: None,
                };
                let uid = bundle.uid.clone();
                self.pods.insert(
                    uid,
                    Made {
                        bundle: Some(bundle),
                        ..made
                    },
                );
            }
        }
        Ok(())
    }

    /// Hands over what has not been handed over; what nobody would run any more is dropped instead.
    async fn submit(&mut self, asked: Asked) -> anyhow::Result<()> {
        let elapsed = self.begun.elapsed();
        let unwanted =
            |made: &Made| asked.times > 0 || self.work.controllers[made.controller].verdict(elapsed).is_some();
        let dropped: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, made)| made.bundle.is_some() && unwanted(made))
            .map(|(uid, _)| uid.clone())
            .collect();
        for uid in dropped {
            self.pods.remove(&uid);
        }
        let now = Instant::now();
        let due: Vec<Bundle> = self
            .pods
            .values()
            .filter(|made| made.retry_at <= now)
            .filter_map(|made| made.bundle.clone())
            .take(TOGETHER)
            .collect();
        if due.is_empty() {
            return Ok(());
        }
        match due.as_slice() {
            [one] => self.progress.moving(&format!("{}: submitting", one.name)),
            many => self.progress.moving(&format!("submitting {} pods", many.len())),
        }
        match self.cluster.submit(&due).await {
            Ok(submitted) => {
                for bundle in &due {
                    self.submitted(bundle, submitted.get(&bundle.uid));
                }
            }
            Err(error) if error.outcome_unknown() => {
                self.progress
                    .warning(&format!("{error}; looking for what has become of it"));
                for bundle in &due {
                    self.submitted(bundle, None);
                }
            }
            Err(error) if error.is_permanent() => return Err(error.into()),
            Err(error) => {
                self.progress
                    .warning(&format!("{error}; nothing was submitted, trying again"));
                for bundle in &due {
                    self.again(&bundle.uid);
                }
            }
        }
        Ok(())
    }

    fn submitted(&mut self, bundle: &Bundle, outcome: Option<&Submission>) {
        let now = output::now();
        self.observed
            .submitting(&bundle.uid, &bundle.namespace, &bundle.name, now);
        self.observed.submitted(&bundle.uid, outcome, now);
        if let Some(Submission::Refused { retry, reason, text }) = outcome {
            if *retry {
                self.progress
                    .state(&bundle.name, &format!("refused for now: {reason}: {text}"), false);
                return self.again(&bundle.uid);
            }
            return self.over(
                &bundle.uid,
                &Outcome::failed(code::NOT_STARTED, format!("{reason}: {text}"), now),
            );
        }
        if let Some(made) = self.pods.get_mut(&bundle.uid) {
            made.bundle = None;
            made.unseen_since = outcome.is_none().then_some(now);
        }
    }

    /// Tries a pod's submission again later. Only for one that is known not to have happened.
    fn again(&mut self, uid: &str) {
        if let Some(made) = self.pods.get_mut(uid) {
            made.retry_at = Instant::now() + made.pause;
            made.pause = (made.pause * 2).min(Duration::from_secs(60));
        }
    }

    /// Looks at all pods that were handed over. True if something has changed.
    async fn look(&mut self, asked: Asked) -> anyhow::Result<bool> {
        let uids: Vec<String> = self
            .pods
            .iter()
            .filter(|(_, made)| made.bundle.is_none())
            .map(|(uid, _)| uid.clone())
            .collect();
        if uids.is_empty() {
            return Ok(false);
        }
        let scan = match self.cluster.scan(&uids).await {
            Ok(scan) => scan,
            Err(error) if error.is_permanent() => {
                return Err(anyhow::Error::new(error)
                    .context("the pods go on, but they cannot be looked after any more; see `towline ps`"));
            }
            Err(error) => {
                if !std::mem::replace(&mut self.link_lost, true) {
                    self.progress.warning(&format!("{error}; the pods go on, trying again"));
                }
                return Ok(false);
            }
        };
        if std::mem::take(&mut self.link_lost) {
            self.progress.warning("the cluster answers again");
        }
        let found: BTreeSet<String> = scan.keys().cloned().collect();
        self.observed.rescanned(&uids, scan, output::now());

        let reporting = |uid: &String| self.observed.pods().get(uid).is_some_and(|pod| pod.report.is_some());
        let impatient = asked.times > 0 || !uids.iter().all(reporting);
        let every = match (asked.times > 0, impatient) {
            (true, _) => Duration::from_secs(1),
            (_, true) => QUEUE / 3,
            _ => QUEUE,
        };
        if self.asked_queue.is_none_or(|at| at.elapsed() >= every) {
            match self.cluster.list(&self.observed.open_jobs()).await {
                Ok(jobs) => self.observed.listed(jobs, output::now()),
                Err(error) => tracing::debug!(%error, "the batch system does not answer"),
            }
            self.asked_queue = Some(Instant::now());
        }

        let mut changed = false;
        for uid in &uids {
            changed |= self.look_at(uid, found.contains(uid));
        }
        Ok(changed)
    }

    fn look_at(&mut self, uid: &str, found: bool) -> bool {
        let now = output::now();
        let Some(made) = self.pods.get_mut(uid) else {
            return false;
        };
        if !found {
            let outcome = match made.unseen_since {
                Some(since) if now - since < UNSEEN => return false,
                Some(_) => Outcome::failed(code::LOST, "its submission was never seen on the cluster", now),
                None => Outcome::failed(code::LOST, "its directory on the cluster was removed", now),
            };
            self.over(uid, &outcome);
            return true;
        }
        made.unseen_since = None;
        let Some(pod) = self.observed.pods().get(uid) else {
            return false;
        };
        let name = made.name.clone();
        let passing = pod.report.is_none();
        let whereabouts = outcome::whereabouts(pod);
        if let Some(report) = &pod.report {
            self.streams.begun(&name, report);
        }
        if let Some(outcome) = outcome::of(pod, now) {
            self.over(uid, &outcome);
            return true;
        }
        self.progress.state(&name, &whereabouts, passing);
        passing
    }

    /// A pod is over.
    fn over(&mut self, uid: &str, outcome: &Outcome) {
        let Some(made) = self.pods.remove(uid) else { return };
        self.streams.ended(uid, outcome.told);
        let unneeded = made.told.is_some();
        if outcome.success {
            self.progress.state(&made.name, "completed", true);
        } else {
            let directory = self.cluster.pod_directory(uid);
            let hint = if outcome.told || outcome.code == code::NOT_STARTED {
                String::new()
            } else {
                format!("; what it left is in {directory} on {}", self.cluster.remote().name())
            };
            self.progress
                .warning(&format!("{}: {}{hint}", made.name, outcome.message));
            // One that was told to end because it is no longer needed has not failed.
            if !unneeded && self.first_failure.is_none_or(|(at, _)| outcome.at < at) {
                self.first_failure = Some((outcome.at, outcome.code));
            }
        }
        self.work.controllers[made.controller].ended(uid, outcome.success, self.begun.elapsed());
        if outcome.told {
            self.removable.push(uid.to_owned());
        } else if self.observed.pods().contains_key(uid) {
            self.kept.insert(uid.to_owned());
        }
    }

    /// Ends what is no longer wanted: after Ctrl-C, or because its Job is over.
    async fn end(&mut self, asked: Asked) {
        let elapsed = self.begun.elapsed();
        let mode = if asked.times > 1 {
            CancelMode::Hard
        } else {
            CancelMode::Soft
        };
        let unwanted: Vec<(String, Option<u64>)> = self
            .pods
            .iter()
            .filter(|(uid, made)| {
                let wanted = asked.times == 0 && self.work.controllers[made.controller].verdict(elapsed).is_none();
                let told = made.told == Some(CancelMode::Hard) || made.told == Some(mode);
                !wanted && !told && self.observed.pods().contains_key(*uid)
            })
            .map(|(uid, _)| (uid.clone(), None))
            .collect();
        if unwanted.is_empty() {
            return;
        }
        if asked.times > 0 {
            let text = match mode {
                CancelMode::Soft => "cancelling; once more ends it by force",
                CancelMode::Hard => "ending it by force; once more leaves it behind",
            };
            self.progress.warning(text);
        }
        match self.cluster.cancel(mode, &unwanted).await {
            Ok(cancelled) => {
                for (uid, error) in cancelled {
                    let Some(made) = self.pods.get_mut(&uid) else { continue };
                    match error {
                        None => {
                            made.told = Some(mode);
                            self.observed.told_to_stop(&uid);
                        }
                        Some(error) => self
                            .progress
                            .warning(&format!("{}: failed to cancel: {error}", made.name)),
                    }
                }
                // The sooner its end is seen.
                self.asked_queue = None;
            }
            Err(error) => self
                .progress
                .warning(&format!("failed to cancel, trying again: {error}")),
        }
    }

    async fn finish(self, asked: Asked) -> anyhow::Result<u8> {
        self.streams.finish().await;
        let elapsed = self.begun.elapsed();
        let mut failed = None;
        for controller in &self.work.controllers {
            if let Some(Verdict::Failed { reason }) = controller.verdict(elapsed) {
                failed = Some(reason);
                if controller.is_job() {
                    self.progress
                        .warning(&format!("Job {} failed: {reason}", controller.name));
                }
            }
        }
        if self.keep {
            for uid in self.removable.iter().chain(&self.kept) {
                self.progress
                    .line(&format!("kept: {}", self.cluster.pod_directory(uid)));
            }
        } else if let Err(error) = self.cluster.remove(&self.removable).await {
            self.progress.warning(&format!(
                "what the pods left on the cluster was not removed, `towline gc` does it later: {error}"
            ));
        }
        Ok(match (asked.times, failed) {
            (1.., _) => asked.code,
            (0, None) => 0,
            (0, Some("DeadlineExceeded")) => code::TIME,
            (0, Some(_)) => self.first_failure.map_or(code::LOST, |(_, code)| code),
        })
    }
}

/// Waits, but not if something new is asked for.
async fn wait(pause: Duration, asked: &mut watch::Receiver<Asked>, seen: Asked) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        _ = asked.wait_for(|now| *now != seen) => {}
    }
}
