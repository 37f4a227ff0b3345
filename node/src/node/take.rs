//! Taking in what came of an effect.

use std::sync::Arc;

use towline_apiserver::status::Written;
use towline_core::answer::Submission;
use towline_core::events::Event;
use towline_core::plan::Told;

use super::effects::{Fate, Outcome};
use super::reconcile::Reconcile;

/// How long a pod is left alone after something for it has failed, seconds.
const PAUSE_S: i64 = 5;

impl Reconcile {
    /// Takes in an outcome.
    pub(super) fn take(&mut self, outcome: Outcome, now: i64) {
        match outcome {
            Outcome::Looked(result) => {
                self.pace.looked(result.is_ok());
                match result {
                    Ok(look) => {
                        for (name, error) in &look.corrupt {
                            tracing::warn!(report = name, %error, "a report cannot be read and is put aside");
                        }
                        if !look.reports.is_empty() {
                            self.pace.news();
                        }
                        if look.more > 0 {
                            self.pace.look_again();
                        }
                        self.observed.looked(&look);
                        self.done = look.names;
                    }
                    Err(error) => tracing::warn!(%error, "failed to look for reports"),
                }
            }
            Outcome::Scanned(result) => {
                self.pace.scanned(result.is_ok());
                match result {
                    Ok(scan) => self.observed.scanned(scan, now),
                    Err(error) => tracing::warn!(%error, "failed to read the pods' directories"),
                }
            }
            Outcome::Rescanned { uids, result } => {
                self.release(&uids);
                match result {
                    Ok(scan) => self.observed.rescanned(&uids, scan, now),
                    Err(error) => {
                        tracing::warn!(%error, "failed to read the pods' directories");
                        self.pause(&uids, now);
                    }
                }
            }
            Outcome::Listed { result, took } => {
                self.pace.listed(result.is_ok(), took);
                match result {
                    Ok(jobs) => self.observed.listed(jobs, now),
                    Err(error) => tracing::warn!(%error, "failed to ask the batch system"),
                }
            }
            Outcome::Submitted { fates, volumes } => {
                self.submitted(fates, now);
                for (uid, (content, seen)) in volumes {
                    self.observed.holds(&uid, content);
                    self.renewal.submitted(&uid, seen);
                }
            }
            Outcome::Renewed(renewed) => {
                for (uid, problem) in self.renewal.taken(&renewed) {
                    self.tell(&uid, &Event::warning("FailedMount", problem));
                }
                for pod in renewed {
                    if let Some(content) = pod.content {
                        self.observed.holds(&pod.uid, content);
                    }
                }
            }
            Outcome::Joined(joined) => {
                for one in joined {
                    self.joining.taken(&one);
                    let memo = self.ledger.entry(one.uid).or_default();
                    match one.problem {
                        None => {
                            memo.problems.remove(&one.name);
                        }
                        Some((problem, _)) => {
                            tracing::info!(
                                container = one.name,
                                reason = problem.reason,
                                problem.message,
                                "not added"
                            );
                            memo.problems.insert(one.name, problem);
                        }
                    }
                }
                self.pace.news();
            }
            Outcome::Cancelled { pods, hard, result } => {
                for (uid, grace) in pods {
                    let failure = match &result {
                        Ok(answer) => answer
                            .get(&uid)
                            .cloned()
                            .unwrap_or(Some("no answer about this pod".to_owned())),
                        Err(error) => Some(error.to_string()),
                    };
                    self.cancelled(&uid, grace, hard, failure, now);
                }
                self.pace.news();
            }
            Outcome::Forgotten { uids, result } => {
                self.release(&uids);
                match result {
                    Ok(()) => uids.iter().for_each(|uid| self.observed.removed(uid)),
                    Err(error) => {
                        tracing::warn!(%error, "failed to remove pods' directories");
                        self.pause(&uids, now);
                    }
                }
            }
            Outcome::Confirmed { uid, result } => {
                let memo = self.ledger.entry(uid.clone()).or_default();
                memo.busy = false;
                match result {
                    Ok(true) => memo.gone_since = Some(now),
                    // The watch will tell it in a moment.
                    Ok(false) => memo.pause_until = now + PAUSE_S,
                    Err(error) => {
                        tracing::warn!(uid, %error, "failed to ask whether a pod is gone");
                        memo.pause_until = now + PAUSE_S;
                    }
                }
            }
            Outcome::Deleted { uid, result } => {
                let memo = self.ledger.entry(uid.clone()).or_default();
                memo.busy = false;
                match result {
                    Ok(()) => memo.released = true,
                    Err(error) => {
                        tracing::warn!(uid, %error, "failed to let a pod go");
                        memo.pause_until = now + PAUSE_S;
                    }
                }
            }
            Outcome::Wrote { uid, pod, result } => match result {
                Ok(Written::Done | Written::Unchanged) => {
                    self.writing.remove(&uid);
                    let before = pod.metadata.resource_version.clone();
                    self.written.insert(uid, (before, Arc::new(*pod)));
                }
                Ok(Written::Gone) => {
                    self.writing.remove(&uid);
                    let memo = self.ledger.entry(uid).or_default();
                    memo.pause_until = now + PAUSE_S;
                }
                Err(error) => {
                    tracing::warn!(uid, %error, "failed to write a status");
                    self.writing.remove(&uid);
                    self.pace.plan_later();
                }
            },
        }
    }

    fn submitted(&mut self, fates: Vec<(String, Fate)>, now: i64) {
        self.submissions = self.submissions.saturating_sub(1);
        self.pace.news();
        for (uid, fate) in fates {
            self.hands.metrics.submitted(&fate, self.age(&uid));
            let memo = self.ledger.entry(uid.clone()).or_default();
            memo.busy = false;
            match fate {
                Fate::Rejected(rejection) => {
                    self.observed.removed(&uid);
                    tracing::info!(uid, reason = rejection.reason, message = rejection.message, "rejected");
                    memo.rejection = Some(rejection);
                }
                Fate::Later { reason, message }
                | Fate::Answered(Submission::Refused {
                    reason, text: message, ..
                }) => {
                    self.observed.removed(&uid);
                    self.obstacle(&uid, reason, message, now);
                }
                Fate::Answered(submission) => {
                    memo.obstacle = None;
                    tracing::info!(uid, ?submission, "submitted");
                    self.observed.submitted(&uid, Some(&submission), now);
                }
                Fate::Unanswered { message } => {
                    tracing::warn!(uid, message, "the outcome of a submission is unknown, it is looked up");
                    self.observed.submitted(&uid, None, now);
                    self.obstacle(&uid, "SubmissionUnknown".to_owned(), message, now);
                }
            }
        }
    }

    fn cancelled(&mut self, uid: &str, grace: Option<u64>, hard: bool, failure: Option<String>, now: i64) {
        let memo = self.ledger.entry(uid.to_owned()).or_default();
        memo.busy = false;
        if let Some(message) = failure {
            tracing::warn!(uid, message, "failed to end a pod");
            memo.pause_until = now + PAUSE_S;
            let message = format!("failed to end the pod's job: {message}");
            self.tell(uid, &Event::warning("FailedKillPod", message));
            return;
        }
        let first = memo.told.is_none();
        match &mut memo.told {
            Some(told) if hard => told.killed_at = Some(now),
            told => {
                *told = Some(Told {
                    grace,
                    at: now,
                    killed_at: hard.then_some(now),
                });
            }
        }
        self.observed.told_to_stop(uid);
        if hard {
            let message = "Ending the pod's job by force: it has not ended within its grace";
            self.tell(uid, &Event::warning("Killing", message));
        } else if first {
            self.tell_stopping(uid);
        }
    }

    fn release(&mut self, uids: &[String]) {
        for uid in uids {
            self.ledger.entry(uid.clone()).or_default().busy = false;
        }
    }

    fn pause(&mut self, uids: &[String], now: i64) {
        for uid in uids {
            self.ledger.entry(uid.clone()).or_default().pause_until = now + PAUSE_S;
        }
    }
}
