//! The node's own metrics: how the loop, the link, the queue and the sessions are doing.
//!
//! Names and units follow the conventions of Prometheus; `docs/kubelet-api.md` lists them. One set for all nodes of the
//! program: each of their endpoints shows the same.

use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};
use towline_cluster::Error;
use towline_core::answer::{JobState, Submission};
use towline_core::observed::{Directory, Observed, RemotePod};

use super::effects::Fate;
use super::process;

/// One label with one of few values.
type Label = [(&'static str, &'static str); 1];
/// Two of them.
type Labels = [(&'static str, &'static str); 2];

/// All states of `towline_jobs`.
const STATES: [&str; 8] = [
    "submitting",
    "pending",
    "held",
    "running",
    "suspended",
    "completing",
    "ended",
    "unknown",
];

/// Counters, gauges and histograms. Whatever is measured is told here.
pub struct Metrics {
    registry: Registry,
    turns: Histogram,
    link_up: Gauge,
    reconnects: Counter,
    jobs: Family<Label, Gauge>,
    submissions: Family<Label, Counter>,
    submitted_after: Histogram,
    requests: Family<Label, Histogram>,
    failures: Family<Label, Counter>,
    sessions: Family<Label, Gauge>,
    bytes: Family<Labels, Counter>,
    process: process::Gauges,
}

impl Metrics {
    /// Everything is zero, and the link is up: whoever needs this has connected.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let process = process::Gauges::register(&mut registry);
        let own = registry.sub_registry_with_prefix("towline");
        let build: Family<Label, Gauge> = register(own, "build_info", "The program's version", Family::default());
        build.get_or_create(&[("version", env!("CARGO_PKG_VERSION"))]).set(1);
        let metrics = Self {
            turns: register(
                own,
                "loop_turn_duration_seconds",
                "How long a turn of the loop took, which plans everything and waits for nothing",
                Histogram::new([0.0001, 0.001, 0.01, 0.1, 1.0, 10.0]),
            ),
            link_up: register(own, "link_up", "1 if the cluster can be reached", Gauge::default()),
            reconnects: register(
                own,
                "link_reconnects",
                "How often the connection to the cluster was made again after it had been lost",
                Counter::default(),
            ),
            jobs: register(own, "jobs", "Jobs of pods by their state", Family::default()),
            submissions: register(
                own,
                "submissions",
                "Pods that were to be submitted, by what came of it",
                Family::default(),
            ),
            submitted_after: register(
                own,
                "pod_submission_delay_seconds",
                "Time between the creation of a pod and the batch system's word that it has its job",
                Histogram::new([0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 7200.0]),
            ),
            requests: register(
                own,
                "cluster_request_duration_seconds",
                "How long the cluster took to answer, by what it was asked",
                Family::new_with_constructor(|| {
                    Histogram::new([
                        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0,
                    ])
                }),
            ),
            failures: register(
                own,
                "cluster_request_failures",
                "Requests to the cluster without a usable answer, by what it was asked",
                Family::default(),
            ),
            sessions: register(
                own,
                "sessions_open",
                "Sessions into containers and logs that are open, by their kind",
                Family::default(),
            ),
            bytes: register(
                own,
                "session_bytes",
                "Bytes of sessions and logs, by their kind and direction (in: towards the container)",
                Family::default(),
            ),
            process,
            registry,
        };
        metrics.link_up.set(1);
        metrics
    }

    /// The loop has come round.
    pub fn turned(&self, took: Duration, observed: &Observed) {
        self.turns.observe(took.as_secs_f64());
        let mut counts = [0; STATES.len()];
        for pod in observed.pods().values() {
            if let Some(n) = STATES.iter().position(|known| *known == state(pod)) {
                counts[n] += 1;
            }
        }
        for (name, count) in STATES.into_iter().zip(counts) {
            self.jobs.get_or_create(&[("state", name)]).set(count);
        }
    }

    /// The link has changed.
    pub fn link(&self, up: bool) {
        if self.link_up.set(i64::from(up)) == 0 && up {
            self.reconnects.inc();
        }
    }

    /// What came of a pod's submission.
    pub fn submitted(&self, fate: &Fate, age: Option<Duration>) {
        let outcome = match fate {
            Fate::Rejected(_) => "rejected",
            Fate::Later { .. } => "later",
            Fate::Answered(Submission::Submitted { .. }) => "submitted",
            Fate::Answered(Submission::Exists { .. }) => "exists",
            Fate::Answered(Submission::Refused { .. }) => "refused",
            Fate::Answered(Submission::Unknown { .. }) | Fate::Unanswered { .. } => "unknown",
        };
        self.submissions.get_or_create(&[("outcome", outcome)]).inc();
        if let (Fate::Answered(Submission::Submitted { .. }), Some(age)) = (fate, age) {
            self.submitted_after.observe(age.as_secs_f64());
        }
    }

    /// Waits for the cluster's answer to a request, and for how long.
    pub async fn timed<T>(
        &self,
        operation: &'static str,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begun = Instant::now();
        let result = request.await;
        let label = [("operation", operation)];
        let took = begun.elapsed().as_secs_f64();
        self.requests.get_or_create(&label).observe(took);
        if result.is_err() {
            self.failures.get_or_create(&label).inc();
        }
        result
    }

    /// Sessions of this kind.
    pub fn sessions(&self, kind: &'static str) -> Gauge {
        self.sessions.get_or_create(&[("kind", kind)]).clone()
    }

    /// Bytes of sessions of this kind.
    pub fn bytes(&self, kind: &'static str, direction: &'static str) -> Counter {
        let labels = [("direction", direction), ("kind", kind)];
        self.bytes.get_or_create(&labels).clone()
    }

    /// All of them as OpenMetrics text.
    pub fn text(&self) -> String {
        self.process.refresh();
        let mut text = String::new();
        match encode(&mut text, &self.registry) {
            Ok(()) => text,
            // (Writing to a string does not fail.)
            Err(std::fmt::Error) => "# EOF\n".to_owned(),
        }
    }
}

/// Puts a metric into a registry, and returns it.
fn register<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

/// A counter of seconds.
pub type Seconds = Counter<f64, AtomicU64>;

fn state(pod: &RemotePod) -> &'static str {
    if pod.ended() {
        return "ended";
    }
    match (&pod.report, pod.queue.as_ref().map(|job| job.state)) {
        (_, Some(JobState::Suspended)) => "suspended",
        (_, Some(JobState::Completing)) => "completing",
        (Some(_), _) | (None, Some(JobState::Running)) => "running",
        (None, Some(JobState::Pending)) => "pending",
        (None, Some(JobState::Held)) => "held",
        (None, Some(JobState::Unknown)) => "unknown",
        (None, Some(_)) => "ended",
        (None, None) if pod.directory == Directory::BeingMade => "submitting",
        // Handed over, and not heard of since.
        (None, None) if pod.job.is_some() => "pending",
        (None, None) => "unknown",
    }
}
