//! What the pods use: read from the cluster when somebody wants to know, and remembered for those who ask soon after.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, timeout};
use towline_cluster::Cluster;
use towline_core::usage::{Totals, Usage};
use towline_kubelet_api::{Meters, NodeUsage};

use super::metrics::Metrics;
use super::reconcile::Shown;

/// An answer that is no older is given again: supervisors write less often anyway.
const FRESH: Duration = Duration::from_secs(5);
/// How long an answer is given again while the cluster cannot be asked.
const HOLDS: Duration = Duration::from_secs(60);
/// How long the cluster is waited for: who asks (metrics-server) has no more than ten seconds.
const PATIENCE: Duration = Duration::from_secs(8);

/// The figures of all nodes' pods, which lie on one cluster.
pub struct Usages {
    cluster: Cluster,
    shown: Arc<Shown>,
    metrics: Arc<Metrics>,
    /// Who asks while somebody is asking already waits for that answer.
    known: tokio::sync::Mutex<Known>,
}

#[derive(Default)]
struct Known {
    asked: Option<(Instant, Result<(), String>)>,
    answered: Option<Instant>,
    usage: Usage,
}

impl Usages {
    /// Knows nothing yet.
    pub fn new(cluster: Cluster, shown: Arc<Shown>, metrics: Arc<Metrics>) -> Self {
        Self {
            cluster,
            shown,
            metrics,
            known: tokio::sync::Mutex::default(),
        }
    }

    async fn newest(&self) -> Result<Usage, String> {
        let mut known = self.known.lock().await;
        let fresh = known.asked.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH);
        if !fresh {
            let result = self.ask(&mut known).await;
            known.asked = Some((Instant::now(), result));
        }
        match &known.asked {
            Some((_, Err(why))) if known.answered.is_none_or(|at| at.elapsed() > HOLDS) => Err(why.clone()),
            _ => Ok(known.usage.clone()),
        }
    }

    async fn ask(&self, known: &mut Known) -> Result<(), String> {
        let running: Vec<String> = {
            let pods = self.shown.load();
            let running = pods.iter().filter(|(_, bound)| runs(&bound.pod));
            running.map(|(uid, _)| uid.clone()).collect()
        };
        // In the order of the keys.
        known.usage.pods.retain(|uid, _| running.binary_search(uid).is_ok());
        let asked = self.metrics.timed("usage", self.cluster.usage(&running));
        let found = timeout(PATIENCE, asked)
            .await
            .map_err(|_| format!("the cluster has not answered within {} s", PATIENCE.as_secs()))?
            .map_err(|error| error.to_string())?;
        // One whose file was just being written keeps the figures that it had.
        known.usage.pods.extend(found.pods);
        known.usage.storage = found.storage;
        known.answered = Some(Instant::now());
        Ok(())
    }
}

/// Whether some container of a pod runs.
fn runs(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let init = status.init_container_statuses.iter().flatten();
    let mut all = status.container_statuses.iter().flatten().chain(init);
    all.any(|container| container.state.as_ref().is_some_and(|state| state.running.is_some()))
}

/// The figures of one node.
pub struct NodeMeters {
    usages: Arc<Usages>,
    session: usize,
    since: Timestamp,
    totals: Mutex<Totals>,
}

impl NodeMeters {
    /// Of the node of this session.
    pub fn new(usages: Arc<Usages>, session: usize) -> Self {
        Self {
            usages,
            session,
            since: Timestamp::now(),
            totals: Mutex::default(),
        }
    }
}

#[async_trait]
impl Meters for NodeMeters {
    async fn usage(&self) -> Result<NodeUsage, String> {
        let Usage { pods: all, storage } = self.usages.newest().await?;
        let shown = self.usages.shown.load();
        let ours = |uid: &str| shown.get(uid).is_some_and(|bound| bound.session == self.session);
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let of_ours = all.iter().filter(|(uid, _)| ours(uid));
        totals.take(of_ours.map(|(uid, usage)| (uid.as_str(), usage)), ours);
        let pods = all.into_iter().filter_map(|(uid, usage)| {
            let cpu_ns = totals.pod_ns(&uid)?;
            Some((uid, (usage, cpu_ns)))
        });
        Ok(NodeUsage {
            since: self.since,
            pods: pods.collect(),
            storage,
            cpu_ns: totals.all_ns(),
        })
    }

    fn own(&self) -> String {
        self.usages.metrics.text()
    }
}
