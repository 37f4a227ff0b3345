//! Volumes of pods that wait or run are kept as the API has them: ConfigMaps, Secrets, what a pod says of itself, tokens.
//!
//! In turns: the versions of all objects that these pods' volumes are made of are asked for, once each whoever mounts them;
//! what has changed is read, and everything that differs from what the cluster holds goes there in one upload. A turn in
//! which nothing has changed costs the cluster nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Pod;
use tokio::time::Instant;
use towline_apiserver::pods::BoundPod;
use towline_core::answer::Updated;
use towline_core::content::Content;
use towline_core::job::shown;
use towline_core::observed::{Directory, Observed, RemotePod};
use towline_core::renewal::{Object, Seen, Stale, Update, Version, asked, compare, outdated, tokens_due};
use towline_core::translate::{Needs, References};
use towline_core::volumes::{Token, TokenRequest};

use super::effects::{Hands, Outcome};

/// Between turns: a kubelet promises that a change arrives within a minute, and file servers cache for a while as well.
const TURN: Duration = Duration::from_secs(20);
/// Requests to the API server at the same time.
const API_REQUESTS: usize = 16;
/// Bytes that one upload carries, if it is for more than one pod.
const UPLOAD: usize = 32 << 20;

/// What is remembered between turns. Losing it costs reading some objects once more.
pub struct Renewal {
    /// What each pod's volumes were made from.
    seen: BTreeMap<String, Seen>,
    /// What has been told about each pod.
    told: BTreeMap<String, String>,
    running: bool,
    next: Instant,
}

impl Renewal {
    /// Nothing is remembered yet.
    pub fn new() -> Self {
        Self {
            seen: BTreeMap::new(),
            told: BTreeMap::new(),
            running: false,
            next: Instant::now(),
        }
    }

    /// A new pod's volumes were made from this.
    pub fn submitted(&mut self, uid: &str, seen: Seen) {
        self.seen.insert(uid.to_owned(), seen);
    }

    /// The pods of a turn, if one is due; it is then under way.
    pub fn due(&mut self, bound: &BTreeMap<String, BoundPod>, observed: &Observed) -> Vec<Candidate> {
        if self.running || Instant::now() < self.next {
            return Vec::new();
        }
        self.next = Instant::now() + TURN;
        let kept = |uid: &String| observed.pods().get(uid).is_some_and(holds_something);
        self.seen.retain(|uid, _| kept(uid));
        self.told.retain(|uid, _| kept(uid));
        let pods = observed.pods().iter().filter(|(_, remote)| holds_something(remote));
        let candidates: Vec<Candidate> = pods
            .filter_map(|(uid, remote)| {
                Some(Candidate {
                    bound: bound.get(uid)?.clone(),
                    there: remote.content.clone()?,
                    seen: self.seen.get(uid).cloned(),
                })
            })
            .collect();
        self.running = !candidates.is_empty();
        candidates
    }

    /// When the next turn is due, if there is anything to be kept.
    pub fn next(&self, observed: &Observed) -> Option<Instant> {
        let any = observed.pods().values().any(holds_something);
        (any && !self.running).then_some(self.next)
    }

    /// Takes in what a turn came to. Returns what has to be told about pods.
    pub fn taken(&mut self, renewed: &[Renewed]) -> Vec<(String, String)> {
        self.running = false;
        let mut news = Vec::new();
        for pod in renewed {
            if let Some(seen) = &pod.seen {
                self.seen.insert(pod.uid.clone(), seen.clone());
            }
            match &pod.problem {
                None => {
                    self.told.remove(&pod.uid);
                }
                Some(problem) if self.told.get(&pod.uid) == Some(problem) => {}
                Some(problem) => {
                    self.told.insert(pod.uid.clone(), problem.clone());
                    news.push((pod.uid.clone(), problem.clone()));
                }
            }
        }
        news
    }
}

/// It has volumes from the API that somebody may still read.
fn holds_something(remote: &RemotePod) -> bool {
    remote.directory == Directory::There && !remote.ended() && remote.content.is_some()
}

/// A pod whose volumes are looked after.
#[derive(Clone)]
pub struct Candidate {
    bound: BoundPod,
    there: Content,
    seen: Option<Seen>,
}

impl Candidate {
    fn pod(&self) -> &Pod {
        &self.bound.pod
    }

    fn uid(&self) -> String {
        self.pod().metadata.uid.clone().unwrap_or_default()
    }

    /// Where its objects are: the session that may read them, and the namespace.
    fn place(&self) -> Place {
        let namespace = self.pod().metadata.namespace.clone();
        (self.bound.session, namespace.unwrap_or_else(|| "default".to_owned()))
    }
}

type Place = (usize, String);

/// What a turn came to for one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// The pod.
    pub uid: String,
    /// What its volumes hold now, if that was changed or found out.
    pub content: Option<Content>,
    /// What they were made from; `None`: they have to be looked at again.
    pub seen: Option<Seen>,
    /// Why some of them stay as they are.
    pub problem: Option<String>,
}

impl Hands {
    /// One turn.
    pub async fn renew(self, pods: Vec<Candidate>, now: i64, now_ms: u64) -> Outcome {
        let versions = self.versions(&pods).await;
        let due: Vec<Candidate> = pods
            .into_iter()
            .filter(|pod| {
                let place = pod.place();
                let version = |object: &Object| versions.get(&(place.clone(), object.clone())).cloned();
                let changed = outdated(pod.pod(), pod.seen.as_ref(), version);
                changed.is_some_and(|changed| changed || tokens_due(&pod.there, now))
            })
            .collect();
        let due: Vec<Candidate> = due.into_iter().filter_map(|pod| self.as_shown(pod)).collect();
        let mut objects = self.objects(&due).await;
        let mut renewed = Vec::new();
        let mut stale = Vec::new();
        for pod in due {
            let Some(references) = objects.get(&pod.place()) else {
                continue;
            };
            let found = compare(pod.pod(), references, pod.seen.as_ref(), &pod.there, now);
            let outcome = Renewed {
                uid: pod.uid(),
                content: None,
                seen: Some(Seen::new(pod.pod(), references, pod.seen.as_ref())),
                problem: problem(&found.problems),
            };
            if found.volumes.is_empty() {
                renewed.push(outcome);
            } else {
                stale.push((pod, found, outcome));
            }
        }
        let mut tokens = self.tokens(&stale).await;
        let mut updates = Vec::new();
        for (pod, found, mut outcome) in stale {
            let Some(references) = objects.get_mut(&pod.place()) else {
                continue;
            };
            references.tokens = tokens.remove(&outcome.uid).unwrap_or_default();
            match Update::new(pod.pod(), references, &pod.there, &found, now_ms) {
                Ok(update) => updates.push((update, outcome)),
                Err(fault) => {
                    outcome.seen = None;
                    outcome.problem = Some(format!("failed to renew the pod's volumes: {}", fault.message()));
                    renewed.push(outcome);
                }
            }
        }
        drop(objects);
        for upload in uploads(updates) {
            renewed.extend(self.upload(upload).await);
        }
        Outcome::Renewed(renewed)
    }

    /// With the pod as the downward API shows it, from which its volumes were made.
    fn as_shown(&self, mut candidate: Candidate) -> Option<Candidate> {
        let site = &self.nodes[candidate.bound.session].site;
        candidate.bound.pod = Arc::new(shown(candidate.pod(), site).ok()?);
        Some(candidate)
    }

    /// The versions of all objects, as far as they could be had.
    async fn versions(&self, pods: &[Candidate]) -> BTreeMap<(Place, Object), Version> {
        let mut wanted = BTreeSet::new();
        for pod in pods {
            let place = pod.place();
            let objects = asked(pod.pod(), pod.seen.as_ref()).into_iter();
            wanted.extend(objects.map(|object| (place.clone(), object)));
        }
        let found = stream::iter(wanted).map(|(place, object)| async move {
            let session = &self.sessions[place.0];
            match self.references.version(session, &place.1, &object).await {
                Ok(version) => Some(((place, object), version)),
                Err(error) => {
                    tracing::warn!(%error, "failed to find out whether a pod's volume has changed");
                    None
                }
            }
        });
        let found: Vec<_> = found.buffer_unordered(API_REQUESTS).collect().await;
        found.into_iter().flatten().collect()
    }

    /// The objects of these pods' volumes, each read once.
    async fn objects(&self, pods: &[Candidate]) -> BTreeMap<Place, References> {
        let mut wanted: BTreeMap<Place, Needs> = BTreeMap::new();
        for pod in pods {
            let needs = wanted.entry(pod.place()).or_default();
            let volumes = pod.pod().spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
            volumes.for_each(|volume| needs.add_volume(volume));
        }
        let found = stream::iter(wanted).map(|(place, needs)| async move {
            match self.references.objects(&self.sessions[place.0], &place.1, needs).await {
                Ok(references) => Some((place, references)),
                Err(error) => {
                    tracing::warn!(namespace = place.1, %error, "failed to read what pods' volumes are made of");
                    None
                }
            }
        });
        let found: Vec<_> = found.buffer_unordered(API_REQUESTS).collect().await;
        found.into_iter().flatten().collect()
    }

    /// New tokens for those that need some, by pod.
    async fn tokens(&self, pods: &[(Candidate, Stale, Renewed)]) -> BTreeMap<String, BTreeMap<TokenRequest, Token>> {
        let mut wanted = Vec::new();
        for (pod, stale, outcome) in pods {
            if stale.tokens {
                wanted.push((outcome.uid.clone(), pod.bound.clone()));
            }
        }
        let found = stream::iter(wanted).map(|(uid, bound)| async move {
            let session = &self.sessions[bound.session];
            match self.references.tokens(session, &bound.pod).await {
                Ok(tokens) => Some((uid, tokens)),
                Err(error) => {
                    tracing::warn!(uid, %error, "failed to renew a pod's tokens");
                    None
                }
            }
        });
        let found: Vec<_> = found.buffer_unordered(API_REQUESTS).collect().await;
        found.into_iter().flatten().collect()
    }

    async fn upload(&self, pods: Vec<(Update, Renewed)>) -> Vec<Renewed> {
        let (updates, mut outcomes): (Vec<Update>, Vec<Renewed>) = pods.into_iter().unzip();
        let result = self.metrics.timed("update", self.cluster.update(&updates)).await;
        match &result {
            Ok(_) => tracing::debug!(pods = updates.len(), "volumes were updated"),
            Err(error) => tracing::warn!(pods = updates.len(), %error, "failed to update pods' volumes"),
        }
        for (update, outcome) in updates.iter().zip(&mut outcomes) {
            match result.as_ref().ok().and_then(|answer| answer.get(&outcome.uid)) {
                Some(Updated::Holds(content)) => {
                    if *content != update.content {
                        outcome.seen = None;
                    }
                    outcome.content = Some(content.clone());
                }
                Some(Updated::Failed(text)) => {
                    outcome.seen = None;
                    outcome.problem = Some(format!("failed to update the pod's volumes on the cluster: {text}"));
                }
                // Not known, or gone: the next turn looks at it again.
                Some(Updated::Absent) | None => outcome.seen = None,
            }
        }
        outcomes
    }
}

/// What an event says.
fn problem(problems: &BTreeMap<String, String>) -> Option<String> {
    let texts = problems
        .iter()
        .map(|(volume, why)| format!("MountVolume.SetUp failed for volume \"{volume}\" : {why}"));
    Some(texts.collect::<Vec<_>>().join("; ")).filter(|text| !text.is_empty())
}

/// Splits what has to be sent into uploads of a bounded size: one, as a rule.
fn uploads(updates: Vec<(Update, Renewed)>) -> Vec<Vec<(Update, Renewed)>> {
    let mut all: Vec<Vec<(Update, Renewed)>> = Vec::new();
    let mut size = 0;
    for (update, outcome) in updates {
        let more = update.size();
        match all.last_mut() {
            Some(last) if size + more <= UPLOAD => {
                size += more;
                last.push((update, outcome));
            }
            _ => {
                size = more;
                all.push(vec![(update, outcome)]);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use towline_core::bundle::Entry;

    fn update(uid: &str, size: usize) -> (Update, Renewed) {
        let entries = BTreeMap::from([("f".to_owned(), Entry::File(0o644, vec![0; size]))]);
        let update = Update {
            uid: uid.to_owned(),
            content: Content::default(),
            entries,
        };
        (update, renewed(uid, None))
    }

    fn renewed(uid: &str, problem: Option<&str>) -> Renewed {
        Renewed {
            uid: uid.to_owned(),
            content: None,
            seen: Some(Seen::default()),
            problem: problem.map(str::to_owned),
        }
    }

    #[test]
    fn many_pods_are_one_upload_unless_it_would_be_huge() {
        let sizes = |list: &[usize]| -> Vec<usize> {
            let updates = list.iter().map(|size| update("u", *size)).collect();
            uploads(updates).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(&[1 << 20; 20]), [20]);
        assert_eq!(sizes(&[20 << 20, 20 << 20, 1]), [1, 2]);
        assert_eq!(sizes(&[40 << 20]), [1]);
        assert_eq!(sizes(&[]), [0_usize; 0]);
    }

    #[test]
    fn a_problem_is_told_once_and_again_when_it_is_another() {
        let mut renewal = Renewal::new();
        assert_eq!(renewal.taken(&[renewed("u", Some("a"))]).len(), 1);
        assert_eq!(renewal.taken(&[renewed("u", Some("a"))]), []);
        assert_eq!(renewal.taken(&[renewed("u", Some("b"))]), [("u".into(), "b".into())]);
        assert_eq!(renewal.taken(&[renewed("u", None)]), []);
        assert_eq!(renewal.taken(&[renewed("u", Some("b"))]).len(), 1);
    }
}
