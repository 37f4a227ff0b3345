//! Ephemeral containers are brought to pods that wait or run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use towline_apiserver::pods::BoundPod;
use towline_apiserver::references::Together;
use towline_core::bundle::Entry;
use towline_core::ephemeral;
use towline_core::observed::Observed;
use towline_core::translate::{Fault, Rejection};

use super::effects::{Hands, Outcome};

/// Between attempts with one that could not be brought.
const RETRY: Duration = Duration::from_secs(20);

/// A container, by its pod's UID and its name.
type Key = (String, String);

/// What is remembered of them. Losing it costs sending some once more, which changes nothing.
#[derive(Default)]
pub struct Joining {
    /// Those that are on the cluster, or never will be.
    settled: BTreeSet<Key>,
    /// When others are tried again; `None`: one is under way.
    next: BTreeMap<Key, Option<Instant>>,
}

/// A pod with containers that are to be brought, by their places in its list.
pub type Candidate = (BoundPod, Vec<usize>);

/// What became of one.
#[derive(Debug)]
pub struct Joined {
    /// Its pod.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// Why it is not there, if it is not, and whether it may be later.
    pub problem: Option<(Rejection, bool)>,
}

impl Joining {
    /// What is to be brought now; it is then under way.
    pub fn due(&mut self, bound: &BTreeMap<String, BoundPod>, observed: &Observed) -> Vec<Candidate> {
        self.settled.retain(|(uid, _)| bound.contains_key(uid));
        self.next.retain(|(uid, _), at| at.is_none() || bound.contains_key(uid));
        let mut due = Vec::new();
        for (uid, pod) in bound.iter().filter(|(_, bound)| !ephemeral::of(&bound.pod).is_empty()) {
            let Some(remote) = observed.pods().get(uid) else {
                continue;
            };
            let mut missing = ephemeral::missing(&pod.pod, remote);
            missing.retain(|n| self.begin((uid.clone(), ephemeral::of(&pod.pod)[*n].name.clone())));
            if !missing.is_empty() {
                due.push((pod.clone(), missing));
            }
        }
        due
    }

    fn begin(&mut self, key: Key) -> bool {
        let due = match self.next.get(&key) {
            Some(at) => at.is_some_and(|at| at <= Instant::now()),
            None => !self.settled.contains(&key),
        };
        if due {
            self.next.insert(key, None);
        }
        due
    }

    /// When something is to be tried again.
    pub fn next(&self) -> Option<Instant> {
        self.next.values().flatten().min().copied()
    }

    /// Takes in what became of one.
    pub fn taken(&mut self, joined: &Joined) {
        let key = (joined.uid.clone(), joined.name.clone());
        match &joined.problem {
            Some((_, true)) => {
                self.next.insert(key, Some(Instant::now() + RETRY));
            }
            _ => {
                self.next.remove(&key);
                self.settled.insert(key);
            }
        }
    }
}

impl Hands {
    /// Brings containers to their pods.
    pub async fn join(self, pods: Vec<Candidate>) -> Outcome {
        let mut joined = Vec::new();
        let mut uploads: BTreeMap<String, BTreeMap<String, Entry>> = BTreeMap::new();
        let mut sent = Vec::new();
        for (bound, places) in &pods {
            let uid = bound.pod.metadata.uid.clone().unwrap_or_default();
            for n in places {
                let name = ephemeral::of(&bound.pod)[*n].name.clone();
                match self.files(bound, *n).await {
                    Ok(entries) => {
                        uploads.entry(uid.clone()).or_default().extend(entries);
                        sent.push((uid.clone(), name));
                    }
                    Err(problem) => joined.push(Joined {
                        uid: uid.clone(),
                        name,
                        problem: Some(problem),
                    }),
                }
            }
        }
        let result = self.metrics.timed("add", self.cluster.add(&uploads)).await;
        for (uid, name) in sent {
            let failure = match &result {
                Ok(answer) => match answer.get(&uid) {
                    Some(outcome) => outcome.clone(),
                    None => Some("no answer about this pod".to_owned()),
                },
                Err(error) => Some(error.to_string()),
            };
            let problem =
                failure.map(|why| later("CreateContainerError", format!("failed to bring the container: {why}")));
            joined.push(Joined { uid, name, problem });
        }
        Outcome::Joined(joined)
    }

    /// The files of a pod's `n`-th ephemeral container.
    async fn files(&self, bound: &BoundPod, n: usize) -> Result<BTreeMap<String, Entry>, (Rejection, bool)> {
        let (session, node) = (&self.sessions[bound.session], &self.nodes[bound.session]);
        let alone = ephemeral::alone(&bound.pod, &ephemeral::of(&bound.pod)[n]);
        let references = self.references.fetch(session, &alone, &Together::default()).await;
        let references = references.map_err(|error| later("CreateContainerConfigError", error.to_string()))?;
        ephemeral::translate(&bound.pod, n, &references, &node.site).map_err(|fault| match fault {
            Fault::Rejected(rejection) => (rejection, false),
            Fault::Incomplete { message } => later("CreateContainerConfigError", message),
        })
    }
}

fn later(reason: &str, message: String) -> (Rejection, bool) {
    let reason = reason.to_owned();
    (Rejection { reason, message }, true)
}
