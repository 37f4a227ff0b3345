//! The pods that should run here.
//!
//! One watch per node; what they add up to is known only when each has had its first complete list, and a list taken anew
//! replaces the old set in one step: a pod is never missing merely because we are looking again.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Session;
use crate::watching::{config, follow};

/// A pod and the node that it is bound to.
#[derive(Debug, Clone)]
pub struct BoundPod {
    /// Index of the session in the list that [`Desired::start`] got.
    pub session: usize,
    /// The pod as last seen.
    pub pod: Arc<Pod>,
}

impl AsRef<Pod> for BoundPod {
    fn as_ref(&self) -> &Pod {
        &self.pod
    }
}

/// Everything by UID.
type Snapshot = Arc<BTreeMap<String, BoundPod>>;

/// The pods that are bound to our nodes, kept current by watches. Cheap to clone; each clone has its own notion of what
/// has [changed](Self::changed).
#[derive(Clone)]
pub struct Desired {
    sets: Arc<Mutex<Sets>>,
    version: watch::Receiver<u64>,
}

impl Desired {
    /// Starts one watch per session; they end with `cancel`.
    pub fn start(sessions: Vec<Session>, cancel: CancellationToken) -> Self {
        let sets = Arc::new(Mutex::new(Sets::new(sessions.len())));
        let (sender, version) = watch::channel(0);
        let sender = Arc::new(sender);
        for (index, session) in sessions.into_iter().enumerate() {
            let (sets, sender, cancel) = (Arc::clone(&sets), Arc::clone(&sender), cancel.clone());
            tokio::spawn(async move {
                let selector = config().fields(&format!("spec.nodeName={}", session.node()));
                let watching = follow::<Pod>(&session, "the node's pods", Api::all, selector, |event| {
                    if lock(&sets).apply(index, event) {
                        sender.send_modify(|version| *version += 1);
                    }
                });
                let _ = cancel.run_until_cancelled(watching).await;
            });
        }
        Self { sets, version }
    }

    /// All pods by UID; `None` until every session's first complete list.
    pub fn snapshot(&self) -> Option<Snapshot> {
        lock(&self.sets).snapshot()
    }

    /// Returns when something changed since the last call. Changes in quick succession are one. Never returns once the
    /// watches were cancelled.
    pub async fn changed(&mut self) {
        if self.version.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

fn lock(sets: &Mutex<Sets>) -> MutexGuard<'_, Sets> {
    sets.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// What each watch has seen.
struct Sets {
    nodes: Vec<NodeSet>,
    /// Built when it is asked for, since a burst of events is looked at once.
    snapshot: Option<Snapshot>,
}

#[derive(Default)]
struct NodeSet {
    /// `None` until the first complete list.
    pods: Option<BTreeMap<String, Arc<Pod>>>,
    /// The list that is being taken.
    listing: BTreeMap<String, Arc<Pod>>,
}

impl Sets {
    fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(|_| NodeSet::default()).collect(),
            snapshot: None,
        }
    }

    /// Takes an event in; says whether the sum may be another one.
    fn apply(&mut self, index: usize, event: Event<Pod>) -> bool {
        let Some(set) = self.nodes.get_mut(index) else {
            return false;
        };
        let uid = |pod: &Pod| pod.metadata.uid.clone().unwrap_or_default();
        let changed = match event {
            Event::Init => {
                set.listing.clear();
                false
            }
            Event::InitApply(pod) => {
                set.listing.insert(uid(&pod), Arc::new(pod));
                false
            }
            Event::InitDone => {
                set.pods = Some(mem::take(&mut set.listing));
                true
            }
            Event::Apply(pod) => set.pods.as_mut().is_some_and(|pods| {
                pods.insert(uid(&pod), Arc::new(pod));
                true
            }),
            Event::Delete(pod) => set.pods.as_mut().is_some_and(|pods| pods.remove(&uid(&pod)).is_some()),
        };
        if changed {
            self.snapshot = None;
        }
        changed
    }

    fn snapshot(&mut self) -> Option<Snapshot> {
        if let Some(snapshot) = &self.snapshot {
            return Some(Arc::clone(snapshot));
        }
        let mut all = BTreeMap::new();
        for (session, set) in self.nodes.iter().enumerate() {
            for (uid, pod) in set.pods.as_ref()? {
                let pod = Arc::clone(pod);
                all.insert(uid.clone(), BoundPod { session, pod });
            }
        }
        let snapshot = Arc::new(all);
        self.snapshot = Some(Arc::clone(&snapshot));
        Some(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, uid: &str) -> Pod {
        let mut pod = Pod::default();
        pod.metadata.name = Some(name.to_owned());
        pod.metadata.uid = Some(uid.to_owned());
        pod
    }

    fn uids(sets: &mut Sets) -> Option<Vec<String>> {
        Some(sets.snapshot()?.keys().cloned().collect())
    }

    fn list(sets: &mut Sets, index: usize, pods: Vec<Pod>) {
        sets.apply(index, Event::Init);
        for pod in pods {
            sets.apply(index, Event::InitApply(pod));
        }
        sets.apply(index, Event::InitDone);
    }

    #[test]
    fn nothing_is_known_until_every_list_is_complete() {
        let mut sets = Sets::new(2);
        list(&mut sets, 0, vec![pod("a", "1")]);
        sets.apply(1, Event::Init);
        assert!(!sets.apply(1, Event::InitApply(pod("b", "2"))));
        assert_eq!(uids(&mut sets), None);
        assert!(sets.apply(1, Event::InitDone));
        assert_eq!(uids(&mut sets).unwrap(), ["1", "2"]);
    }

    #[test]
    fn a_list_taken_anew_replaces_the_old_one_in_one_step() {
        let mut sets = Sets::new(1);
        list(&mut sets, 0, vec![pod("a", "1"), pod("b", "2")]);
        sets.apply(0, Event::Init);
        sets.apply(0, Event::InitApply(pod("b", "2")));
        assert_eq!(uids(&mut sets).unwrap(), ["1", "2"], "still the old one");
        // The attempt broke off and begins again.
        sets.apply(0, Event::Init);
        sets.apply(0, Event::InitApply(pod("c", "3")));
        sets.apply(0, Event::InitDone);
        assert_eq!(uids(&mut sets).unwrap(), ["3"]);
    }

    #[test]
    fn the_same_name_with_another_uid_is_another_pod() {
        let mut sets = Sets::new(1);
        list(&mut sets, 0, vec![pod("a", "1")]);
        sets.apply(0, Event::Apply(pod("a", "2")));
        assert_eq!(uids(&mut sets).unwrap(), ["1", "2"]);
        assert!(sets.apply(0, Event::Delete(pod("a", "1"))));
        assert!(!sets.apply(0, Event::Delete(pod("a", "1"))));
        assert_eq!(uids(&mut sets).unwrap(), ["2"]);
    }
}
