//! The loop: look, decide, act, report, then look again.
//!
//! One task owns everything that is remembered. It waits for news (the API's watch, an effect's outcome, the time), takes
//! them in, plans, and starts effects; it never waits for one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use towline_apiserver::pods::{BoundPod, Desired};
use towline_core::events::{self, Event};
use towline_core::observed::Observed;
use towline_core::plan::{Ledger, Obstacle, Plan, plan};
use towline_core::status;
use towline_ssh::LinkState;

use super::effects::{Hands, Outcome};
use super::join::Joining;
use super::pace::Pace;
use super::prepare;
use super::renew::Renewal;

/// Pods that one submission carries at most, and submissions that are under way at most.
const BATCH: usize = 100;
const SUBMISSIONS: usize = 2;
/// Statuses that are written at the same time at most.
const WRITES: usize = 64;

/// What an effect that panics shows.
const DEFECT: &str = "an effect ended without an outcome";

/// The pods as the loop knows them, for those who serve requests about them.
pub type Shown = ArcSwap<BTreeMap<String, BoundPod>>;

/// The loop and all that it remembers.
pub struct Reconcile {
    pub(super) hands: Hands,
    pub(super) desired: Desired,
    pub(super) observed: Observed,
    pub(super) ledger: Ledger,
    pub(super) pace: Pace,
    /// Pods whose newest status we wrote ourselves and the watch has not told yet: resource version before, and the pod.
    pub(super) written: BTreeMap<String, (Option<String>, Arc<Pod>)>,
    pub(super) writing: BTreeSet<String>,
    /// Reports that were taken in and have to be taken away by the next look.
    pub(super) done: Vec<String>,
    pub(super) submissions: usize,
    pub(super) renewal: Renewal,
    pub(super) joining: Joining,
    tasks: JoinSet<Outcome>,
    shown: Arc<Shown>,
}

impl Reconcile {
    /// A loop that knows nothing yet.
    pub fn new(hands: Hands, desired: Desired, pace: Pace, shown: Arc<Shown>) -> Self {
        Self {
            hands,
            desired,
            observed: Observed::default(),
            ledger: Ledger::new(),
            pace,
            written: BTreeMap::new(),
            writing: BTreeSet::new(),
            done: Vec::new(),
            submissions: 0,
            renewal: Renewal::new(),
            joining: Joining::default(),
            tasks: JoinSet::new(),
            shown,
        }
    }

    /// Runs until it is told to end. What is under way on the cluster goes on without it.
    ///
    /// # Panics
    /// When an effect has: nothing is known then of what it was about, and a new start, which reads everything anew, is
    /// the one way to find out.
    pub async fn run(mut self, cancel: CancellationToken) {
        let mut link = self.hands.cluster.remote().link();
        let mut wake = Instant::now();
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                () = self.desired.changed() => {}
                Some(outcome) = self.tasks.join_next() => self.take(outcome.expect(DEFECT), now()),
                // Back after a while: what is overdue is asked at once.
                changed = link.changed() => if changed.is_ok() && matches!(*link.borrow(), LinkState::Up { .. }) {
                    self.pace.hurry();
                },
                () = tokio::time::sleep_until(wake) => {}
            }
            // What arrived together is planned for together.
            while let Some(outcome) = self.tasks.try_join_next() {
                self.take(outcome.expect(DEFECT), now());
            }
            let begun = Instant::now();
            wake = self.pass();
            self.hands.metrics.turned(begun.elapsed(), &self.observed);
        }
    }

    /// Plans once and starts what is planned. Returns when to come back if nothing happens.
    fn pass(&mut self) -> Instant {
        let now = now();
        let bound = self.bound();
        if let Some(pods) = &bound {
            let observed = self.observed.pods();
            self.ledger
                .retain(|uid, memo| memo.busy || pods.contains_key(uid) || observed.contains_key(uid));
        }
        for (uid, event) in self.observed.news() {
            self.tell(&uid, &event.into());
        }
        let address = |pod: &Pod| {
            let node = pod.spec.as_ref()?.node_name.as_ref()?;
            let site = self.hands.nodes.iter().find(|site| site.name == *node)?;
            let address = &site.description.addresses.first()?.address;
            address.parse::<std::net::IpAddr>().is_ok().then(|| address.clone())
        };
        let plan = plan(bound.as_deref(), &self.observed, &self.ledger, address, now);
        let wake_at = plan.wake_at;
        self.act(plan, bound.as_deref(), now);
        self.ask();
        let renewed = self.renew(bound.as_deref(), now);
        let joined = self.join(bound.as_deref());
        let planned =
            wake_at.map(|at| Instant::now() + Duration::from_secs(u64::try_from(at - now).unwrap_or(0).min(3600)));
        let asked = self.pace.next(&self.observed, &self.ledger, !self.done.is_empty());
        planned
            .into_iter()
            .chain(renewed)
            .chain(joined)
            .chain([asked])
            .min()
            .unwrap_or(asked)
    }

    /// The pods that should be here, with the statuses that we wrote and the watch has not told yet.
    fn bound(&mut self) -> Option<Arc<BTreeMap<String, BoundPod>>> {
        let snapshot = self.desired.snapshot()?;
        self.written.retain(|uid, (before, _)| {
            snapshot
                .get(uid)
                .is_some_and(|bound| bound.pod.metadata.resource_version == *before)
        });
        let bound = if self.written.is_empty() {
            snapshot
        } else {
            let mut fresh = BTreeMap::clone(&snapshot);
            for (uid, (_, pod)) in &self.written {
                if let Some(bound) = fresh.get_mut(uid) {
                    bound.pod = pod.clone();
                }
            }
            Arc::new(fresh)
        };
        self.shown.store(bound.clone());
        Some(bound)
    }

    fn act(&mut self, plan: Plan, bound: Option<&BTreeMap<String, BoundPod>>, now: i64) {
        let nobody = BTreeMap::new();
        let bound = bound.unwrap_or(&nobody);
        let handed_over = self.submit(&plan.submit, bound, now);
        let batches = [
            (plan.cancel, false),
            (plan.kill.into_iter().map(|uid| (uid, None)).collect(), true),
        ];
        for (pods, hard) in batches {
            if !pods.is_empty() {
                self.busy(pods.iter().map(|(uid, _)| uid));
                self.tasks.spawn(self.hands.clone().cancel(pods, hard));
            }
        }
        if !plan.forget.is_empty() {
            self.busy(&plan.forget);
            self.tasks.spawn(self.hands.clone().forget(plan.forget));
        }
        if !plan.rescan.is_empty() {
            self.busy(&plan.rescan);
            self.tasks.spawn(self.hands.clone().rescan(plan.rescan));
        }
        for uid in plan.confirm {
            let Some(remote) = self.observed.pods().get(&uid) else {
                continue;
            };
            let (namespace, name) = (remote.namespace.clone(), remote.name.clone());
            self.busy([&uid]);
            self.tasks.spawn(self.hands.clone().confirm(uid, namespace, name));
        }
        for uid in plan.delete {
            if let Some(bound) = bound.get(&uid) {
                self.busy([&uid]);
                self.tasks.spawn(self.hands.clone().delete(bound.clone()));
            }
        }
        for (uid, status) in plan.statuses {
            if self.writing.len() >= WRITES {
                break;
            }
            // One that has just been handed over is told about when the answer is there, or takes long.
            if handed_over.contains(&uid) {
                continue;
            }
            if let Some(bound) = bound.get(&uid).filter(|_| !self.writing.contains(&uid)) {
                self.writing.insert(uid.clone());
                let report = self.observed.pods().get(&uid).and_then(|remote| remote.report.clone());
                self.tasks
                    .spawn(self.hands.clone().write(uid, bound.clone(), status, report));
            }
        }
    }

    /// Submits what fits into one submission. Returns whose submission has begun.
    fn submit(&mut self, planned: &[String], bound: &BTreeMap<String, BoundPod>, now: i64) -> BTreeSet<String> {
        if planned.is_empty() || self.submissions >= SUBMISSIONS {
            return BTreeSet::new();
        }
        let mut used: Vec<BTreeMap<String, u64>> = vec![BTreeMap::new(); self.hands.nodes.len()];
        for (uid, bound) in bound {
            let taken = self.observed.pods().contains_key(uid) || self.ledger.get(uid).is_some_and(|memo| memo.busy);
            if taken && !status::is_terminal(&bound.pod) {
                prepare::count(&bound.pod, &mut used[bound.session]);
            }
        }
        let mut chosen: Vec<&String> = planned.iter().collect();
        // Who came first is submitted first.
        chosen.sort_by_key(|uid| {
            bound
                .get(*uid)
                .and_then(|bound| bound.pod.metadata.creation_timestamp.clone())
        });
        let mut pods = Vec::new();
        for uid in chosen {
            let Some(bound) = bound.get(uid) else { continue };
            let memo = self.ledger.entry(uid.clone()).or_default();
            match prepare::admit(&bound.pod, &mut used[bound.session], &self.hands.nodes[bound.session]) {
                Err(rejection) => {
                    memo.rejection = Some(rejection);
                    self.pace.plan_again();
                }
                Ok(()) if pods.len() < BATCH => {
                    memo.busy = true;
                    let metadata = &bound.pod.metadata;
                    let text = |text: &Option<String>| text.clone().unwrap_or_default();
                    self.observed
                        .submitting(uid, &text(&metadata.namespace), &text(&metadata.name), now);
                    pods.push((uid.clone(), bound.clone()));
                }
                Ok(()) => {}
            }
        }
        let handed_over = pods.iter().map(|(uid, _)| uid.clone()).collect();
        if !pods.is_empty() {
            tracing::debug!(pods = pods.len(), now, "submitting");
            self.submissions += 1;
            self.tasks.spawn(self.hands.clone().submit(pods));
        }
        handed_over
    }

    /// Asks the cluster whatever is due.
    fn ask(&mut self) {
        if self.pace.scan_due(&self.observed) {
            self.tasks.spawn(self.hands.clone().scan());
        }
        if self.pace.look_due(&self.observed, !self.done.is_empty()) {
            self.tasks.spawn(self.hands.clone().look(self.done.clone()));
        }
        if self.pace.list_due(&self.observed, &self.ledger) {
            self.tasks.spawn(self.hands.clone().list(self.observed.open_jobs()));
        }
    }

    /// Begins a turn of looking after volumes, if one is due and the cluster can be reached. Returns when the next one is.
    fn renew(&mut self, bound: Option<&BTreeMap<String, BoundPod>>, now: i64) -> Option<Instant> {
        let link = self.hands.cluster.remote().link();
        let (Some(bound), LinkState::Up { .. }) = (bound, &*link.borrow()) else {
            return None;
        };
        let pods = self.renewal.due(bound, &self.observed);
        if !pods.is_empty() {
            let now_ms = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            self.tasks.spawn(self.hands.clone().renew(pods, now, now_ms));
        }
        self.renewal.next(&self.observed)
    }

    /// Brings ephemeral containers to their pods. Returns when some are tried again.
    fn join(&mut self, bound: Option<&BTreeMap<String, BoundPod>>) -> Option<Instant> {
        let pods = self.joining.due(bound?, &self.observed);
        if !pods.is_empty() {
            self.tasks.spawn(self.hands.clone().join(pods));
        }
        self.joining.next()
    }

    fn busy<'a>(&mut self, uids: impl IntoIterator<Item = &'a String>) {
        for uid in uids {
            self.ledger.entry(uid.clone()).or_default().busy = true;
        }
    }

    /// Notes why a pod was not submitted, and when it is tried again: later each time.
    pub(super) fn obstacle(&mut self, uid: &str, reason: String, message: String, now: i64) {
        let memo = self.ledger.entry(uid.to_owned()).or_default();
        let times = memo.obstacle.as_ref().map_or(0, |before| before.times) + 1;
        let jitter = i64::from(rand::random::<u8>() % 2);
        let delay = (1i64 << times.min(9)).min(300) + jitter;
        memo.obstacle = Some(Obstacle {
            reason,
            message,
            times,
            not_before: now + delay,
        });
    }

    /// How long ago a pod was created, if it is still known.
    pub(super) fn age(&self, uid: &str) -> Option<Duration> {
        let pods = self.shown.load();
        let created = pods.get(uid)?.pod.metadata.creation_timestamp.as_ref()?.0;
        Timestamp::now().duration_since(created).try_into().ok()
    }

    /// Publishes an event about a pod that is still known.
    pub(super) fn tell(&self, uid: &str, event: &Event) {
        if let Some(bound) = self.shown.load().get(uid) {
            self.hands
                .recorder
                .publish(&self.hands.sessions[bound.session], &bound.pod, event);
        }
    }

    /// Tells of each container that runs that it is to end.
    pub(super) fn tell_stopping(&self, uid: &str) {
        let pods = self.shown.load();
        for event in events::stopping(pods.get(uid).and_then(|bound| bound.pod.status.as_ref())) {
            self.tell(uid, &event);
        }
    }
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}
