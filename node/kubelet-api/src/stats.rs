//! Figures: what the node's pods use, as monitoring asks a kubelet for it.
//!
//! [`Meters`] is the seam to whoever knows; [`rows`] joins that with the pods; `summary`, `resource`, `cadvisor` and
//! `probes` are the kubelet's forms of it. Only what is known is in an answer: nothing about the network of a pod that
//! lives in its node's.

mod cadvisor;
mod probes;
mod resource;
mod rows;
mod summary;
mod text;

use std::collections::BTreeMap;

use async_trait::async_trait;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use towline_core::usage::{PodUsage, Storage};
use tracing::warn;

use crate::Pods;
use crate::answer::{self, Answer};

/// The text format that Prometheus has always read.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// The one that our own metrics are written in.
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the pods of a node use.
#[derive(Debug, Clone)]
pub struct NodeUsage {
    /// Since when this node's figures have been gathered.
    pub since: Timestamp,
    /// The newest figures by the pods' UIDs, with the processor time in nanoseconds that all runs of the pod's
    /// containers have used together.
    pub pods: BTreeMap<String, (PodUsage, u64)>,
    /// The file system that pods and images lie on, if some pod runs.
    pub storage: Option<Storage>,
    /// The processor time in nanoseconds of all pods that have run here since then, the ended ones included.
    pub cpu_ns: u64,
}

/// Who knows what a node's pods use.
#[async_trait]
pub trait Meters: Send + Sync {
    /// What they use.
    ///
    /// # Errors
    /// Words why the cluster could not be asked; what it said before is too old then.
    async fn usage(&self) -> Result<NodeUsage, String>;

    /// The program's own metrics, as OpenMetrics text.
    fn own(&self) -> String;
}

/// `GET /stats/summary`
pub async fn summary(node: &str, pods: &dyn Pods, meters: &dyn Meters) -> Answer {
    match meters.usage().await {
        Ok(usage) => answer::json(&summary::summary(node, &usage, &rows::rows(&pods.all(), &usage))),
        Err(why) => answer::text(StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

/// `GET /metrics/resource`
pub async fn resource(pods: &dyn Pods, meters: &dyn Meters) -> Answer {
    let usage = known(meters).await;
    let all = pods.all();
    let rows = usage.as_ref().map(|usage| rows::rows(&all, usage));
    answer::whole(
        StatusCode::OK,
        TEXT,
        resource::resource(usage.as_ref().zip(rows.as_deref())).into(),
    )
}

/// `GET /metrics/cadvisor`
pub async fn cadvisor(pods: &dyn Pods, meters: &dyn Meters) -> Answer {
    let usage = known(meters).await;
    let all = pods.all();
    let rows = usage.as_ref().map(|usage| rows::rows(&all, usage));
    answer::whole(StatusCode::OK, TEXT, cadvisor::cadvisor(rows.as_deref()).into())
}

/// `GET /metrics/probes`
pub async fn probes(pods: &dyn Pods, meters: &dyn Meters) -> Answer {
    let usage = known(meters).await;
    answer::whole(StatusCode::OK, TEXT, probes::probes(&pods.all(), usage.as_ref()).into())
}

/// `GET /metrics`
pub fn own(meters: &dyn Meters) -> Answer {
    answer::whole(StatusCode::OK, OPEN_METRICS, meters.own().into())
}

async fn known(meters: &dyn Meters) -> Option<NodeUsage> {
    let usage = meters.usage().await;
    usage
        .inspect_err(|why| warn!("what the pods use could not be asked for: {why}"))
        .ok()
}
