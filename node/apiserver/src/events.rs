//! Events: what a person sees in `kubectl describe`.
//!
//! The kind that kubelets write (`v1`), and counted as they do: the same sentence about the same object again raises a
//! count. (kube's own recorder counts by reason alone and loses the second sentence.) An event is never worth waiting or
//! failing for: the queue is bounded, and what does not fit or is refused is dropped and logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use towline_core::events::{Event as PodEvent, field_path};
use tracing::{debug, warn};

use crate::{Error, Session};

/// Who reports.
const CONTROLLER: &str = "towline.dev/node";
/// Events that wait to be sent.
const QUEUE: usize = 2048;
/// The API server's limit.
const LONGEST_MESSAGE: usize = 1024;
/// How long a repetition raises the count of the first.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);
/// Events about one object at once; afterwards one per [`REFILL`]. As in the kubelet (`events_cache.go`).
const BURST: f64 = 25.0;
/// How long it takes until one more may be sent.
const REFILL: SignedDuration = SignedDuration::from_mins(5);

/// Whether an event is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Information.
    Normal,
    /// Something is wrong.
    Warning,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// Publishes events; never blocks its caller and never fails it. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(Session, Sentence)>,
    dropped: Arc<AtomicU64>,
}

/// Something to say about an object.
#[derive(Debug, Clone, PartialEq)]
struct Sentence {
    regarding: ObjectReference,
    kind: Kind,
    reason: String,
    message: String,
    /// When.
    at: Timestamp,
}

impl Recorder {
    /// Starts the worker, which ends with `cancel` or the last clone.
    pub fn new(cancel: CancellationToken) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let _ = cancel.run_until_cancelled(work(receiver)).await;
        });
        Self {
            queue,
            dropped: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Publishes an event about a pod.
    pub fn publish(&self, session: &Session, pod: &Pod, event: &PodEvent) {
        let container = event.container.as_deref().zip(pod.spec.as_ref());
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            resource_version: pod.metadata.resource_version.clone(),
            field_path: container.and_then(|(name, spec)| field_path(spec, name)),
        };
        let kind = if event.warning { Kind::Warning } else { Kind::Normal };
        self.enqueue(session, regarding, kind, &event.reason, &event.message);
    }

    /// Publishes an event about the session's node. `reason` is CamelCase.
    pub fn publish_node(&self, session: &Session, kind: Kind, reason: &str, message: &str) {
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(session.node().to_owned()),
            // As a kubelet does: it is what `kubectl describe node` looks for.
            uid: Some(session.node().to_owned()),
            ..ObjectReference::default()
        };
        self.enqueue(session, regarding, kind, reason, message);
    }

    fn enqueue(&self, session: &Session, regarding: ObjectReference, kind: Kind, reason: &str, message: &str) {
        let sentence = Sentence {
            regarding,
            kind,
            reason: reason.to_owned(),
            message: shortened(message),
            at: Timestamp::now(),
        };
        if let Err(error) = self.queue.try_send((session.clone(), sentence)) {
            let count = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_power_of_two() {
                warn!(node = session.node(), "{count} events were dropped so far: {error}");
            }
        }
    }
}

fn shortened(message: &str) -> String {
    if message.len() <= LONGEST_MESSAGE {
        return message.to_owned();
    }
    let mut end = LONGEST_MESSAGE - '…'.len_utf8();
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &message[..end])
}

/// One after the other, in the order in which they were said, and behind the statuses of the pods: in a burst of pods
/// these are what everybody waits for.
async fn work(mut queue: mpsc::Receiver<(Session, Sentence)>) {
    let mut memory = Memory::default();
    while let Some((session, sentence)) = queue.recv().await {
        if let Some(event) = memory.hear(&session, &sentence, sentence.at) {
            session.give_way().await;
            if let Err(error) = send(&session, &event).await {
                debug!(node = session.node(), "an event was not published: {error}");
            }
        }
    }
}

/// Creates an event, or raises the count of the one that exists.
async fn send(session: &Session, event: &Event) -> Result<(), Error> {
    let namespace = event.metadata.namespace.as_deref().unwrap_or("default");
    let name = event.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(session.client(), namespace);
    if event.count.unwrap_or(1) > 1 {
        let patch = Patch::Strategic(json!({"count": event.count, "lastTimestamp": event.last_timestamp}));
        let what = format!("patch event {namespace}/{name}");
        match session
            .call(&what, api.patch(name, &PatchParams::default(), &patch))
            .await
        {
            // It has expired in the API server meanwhile, or its creation is still under way: said anew.
            Err(error) if error.is_not_found() => {}
            result => return result.map(|_| ()),
        }
    }
    let what = format!("create event {namespace}/{name}");
    session
        .call(&what, api.create(&PostParams::default(), event))
        .await
        .map(|_| ())
}

/// What was said recently.
#[derive(Default)]
struct Memory {
    said: HashMap<Key, Event>,
    /// Objects that were talked about: tokens left, and when that was.
    budgets: HashMap<String, (f64, Timestamp)>,
    swept: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    uid: String,
    field_path: Option<String>,
    kind: Kind,
    reason: String,
    message: String,
}

impl Memory {
    /// The event to send for a sentence; `None` if there were too many about this object.
    fn hear(&mut self, session: &Session, sentence: &Sentence, now: Timestamp) -> Option<Event> {
        self.sweep(now);
        let uid = sentence.regarding.uid.clone().unwrap_or_default();
        if !self.afford(&uid, now) {
            return None;
        }
        let key = Key {
            uid,
            field_path: sentence.regarding.field_path.clone(),
            kind: sentence.kind,
            reason: sentence.reason.clone(),
            message: sentence.message.clone(),
        };
        let event = match self.said.get(&key) {
            Some(before) => {
                let mut event = before.clone();
                event.count = Some(event.count.unwrap_or(1).saturating_add(1));
                event.last_timestamp = Some(Time(now));
                event
            }
            None => first(session, sentence, now),
        };
        self.said.insert(key, event.clone());
        Some(event)
    }

    fn afford(&mut self, uid: &str, now: Timestamp) -> bool {
        let (tokens, at) = self.budgets.get(uid).copied().unwrap_or((BURST, now));
        let refilled = now.duration_since(at).as_secs_f64() / REFILL.as_secs_f64();
        let tokens = (tokens + refilled).min(BURST);
        let enough = tokens >= 1.0;
        self.budgets
            .insert(uid.to_owned(), (if enough { tokens - 1.0 } else { tokens }, now));
        enough
    }

    /// Forgets what is old, now and then.
    fn sweep(&mut self, now: Timestamp) {
        if self
            .swept
            .is_some_and(|swept| now.duration_since(swept) < SignedDuration::from_mins(1))
        {
            return;
        }
        self.swept = Some(now);
        self.said.retain(|_, event| {
            let last = event.last_timestamp.as_ref().map(|time| now.duration_since(time.0));
            last.is_some_and(|age| age < MEMORY)
        });
        self.budgets.retain(|_, (tokens, at)| {
            let refilled = now.duration_since(*at).as_secs_f64() / REFILL.as_secs_f64();
            *tokens + refilled < BURST
        });
    }
}

/// A sentence said for the first time.
fn first(session: &Session, sentence: &Sentence, now: Timestamp) -> Event {
    let regarding = &sentence.regarding;
    let name = regarding.name.as_deref().unwrap_or_default();
    let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
    Event {
        metadata: ObjectMeta {
            // Unique as a kubelet's are: by the time.
            name: Some(format!("{name}.{:x}", now.as_nanosecond())),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: regarding.clone(),
        reason: Some(sentence.reason.clone()),
        message: Some(sentence.message.clone()),
        type_: Some(sentence.kind.word().to_owned()),
        source: Some(EventSource {
            component: Some(CONTROLLER.to_owned()),
            host: Some(session.node().to_owned()),
        }),
        reporting_component: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(session.node().to_owned()),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        count: Some(1),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn session() -> Session {
        let (service, _) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        Session::for_test("hpc", kube::Client::new(service, "default"), std::path::Path::new("/"))
    }

    fn sentence(message: &str) -> Sentence {
        Sentence {
            regarding: ObjectReference {
                name: Some("p".to_owned()),
                namespace: Some("lab".to_owned()),
                uid: Some("u".to_owned()),
                ..ObjectReference::default()
            },
            kind: Kind::Normal,
            reason: "Pulled".to_owned(),
            message: message.to_owned(),
            at: at(0),
        }
    }

    #[tokio::test]
    async fn the_same_sentence_is_counted_and_another_one_is_another_event() {
        let (session, mut memory) = (session(), Memory::default());
        let one = memory.hear(&session, &sentence("a"), at(0)).unwrap();
        let two = memory.hear(&session, &sentence("a"), at(5)).unwrap();
        let other = memory.hear(&session, &sentence("b"), at(6)).unwrap();
        let mut elsewhere = sentence("a");
        elsewhere.regarding.field_path = Some("spec.containers{x}".to_owned());
        let elsewhere = memory.hear(&session, &elsewhere, at(6)).unwrap();
        assert_eq!(elsewhere.count, Some(1));
        assert_eq!(one.metadata.name, two.metadata.name);
        assert_eq!((one.count, two.count, other.count), (Some(1), Some(2), Some(1)));
        assert_eq!(two.first_timestamp, Some(Time(at(0))));
        assert_eq!(two.last_timestamp, Some(Time(at(5))));
        assert_ne!(one.metadata.name, other.metadata.name);
        let late = memory.hear(&session, &sentence("a"), at(5 + 3600)).unwrap();
        assert_eq!(late.count, Some(1));
    }

    #[tokio::test]
    async fn an_object_that_chatters_is_silenced_and_heard_again_later() {
        let (session, mut memory) = (session(), Memory::default());
        let heard = (0..100).filter(|n| memory.hear(&session, &sentence(&n.to_string()), at(0)).is_some());
        assert_eq!(heard.count(), 25);
        assert!(memory.hear(&session, &sentence("x"), at(1)).is_none());
        assert!(memory.hear(&session, &sentence("x"), at(301)).is_some());
    }

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let cut = shortened(&"ä".repeat(1000));
        assert!(cut.len() <= LONGEST_MESSAGE && cut.ends_with('…'));
        assert_eq!(shortened("short"), "short");
    }
}
