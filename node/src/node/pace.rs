//! How often the cluster is asked, so that news is fast and a quiet cluster is left in peace.
//!
//! A look costs one short line in a shell that is open anyway and is made often while something happens; the batch
//! system is asked rarely, and more rarely still when it answers slowly, for that is how it says that it is under load.

use std::time::Duration;

use tokio::time::Instant;
use towline_core::observed::{Directory, Observed, RemotePod};
use towline_core::plan::Ledger;

/// Between looks while something happens.
const LOOK_ACTIVE: Duration = Duration::from_millis(200);
/// For how long after the last news something happens.
const ACTIVE_FOR: Duration = Duration::from_secs(10);
/// Between queries of the batch system when a pod's fate hangs on one.
const LIST_URGENT: Duration = Duration::from_secs(3);
/// The same for jobs of which it has not said anything yet.
const LIST_FRESH: Duration = Duration::from_secs(5);
/// How much longer than its answer took the batch system is left alone at least.
const LIST_STRETCH: u32 = 10;
/// Between attempts after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// Nothing is due: the loop comes round all the same.
const IDLE: Duration = Duration::from_secs(30);

/// When each question was asked last, and which are under way.
pub struct Pace {
    look_interval: Duration,
    queue_interval: Duration,
    looking: bool,
    listing: bool,
    scanning: bool,
    next_look: Instant,
    next_scan: Instant,
    last_list: Option<Instant>,
    list_not_before: Instant,
    last_news: Instant,
    again: Option<Instant>,
}

impl Pace {
    /// `look_interval`: between looks at pods that run quietly; `queue_interval`: between queries of the batch system.
    pub fn new(look_interval: Duration, queue_interval: Duration) -> Self {
        let now = Instant::now();
        Self {
            look_interval,
            queue_interval,
            looking: false,
            listing: false,
            scanning: false,
            next_look: now,
            next_scan: now,
            last_list: None,
            list_not_before: now,
            last_news: now,
            again: None,
        }
    }

    /// Something happened: look often for a while.
    pub fn news(&mut self) {
        self.last_news = Instant::now();
        self.next_look = self.next_look.min(self.last_news + LOOK_ACTIVE);
    }

    /// There is more to see than one look returns.
    pub fn look_again(&mut self) {
        self.next_look = Instant::now();
    }

    /// The link is back: everything that is due is asked now.
    pub fn hurry(&mut self) {
        let now = Instant::now();
        (self.next_look, self.next_scan, self.list_not_before) = (now, now, now);
    }

    /// Come round again at once.
    pub fn plan_again(&mut self) {
        self.again = Some(Instant::now());
    }

    /// Come round again soon.
    pub fn plan_later(&mut self) {
        self.again = Some(Instant::now() + RETRY);
    }

    /// A look has ended.
    pub fn looked(&mut self, well: bool) {
        self.looking = false;
        let active = self.last_news.elapsed() < ACTIVE_FOR;
        let pause = match well {
            false => RETRY,
            true if active => LOOK_ACTIVE.min(self.look_interval),
            true => self.look_interval,
        };
        self.next_look = Instant::now() + pause;
    }

    /// The scan of everything has ended.
    pub fn scanned(&mut self, well: bool) {
        self.scanning = false;
        self.next_scan = Instant::now() + if well { Duration::ZERO } else { RETRY };
    }

    /// The batch system has answered, or not.
    pub fn listed(&mut self, well: bool, took: Duration) {
        self.listing = false;
        let now = Instant::now();
        self.last_list = Some(now);
        let rest = took * LIST_STRETCH;
        self.list_not_before = now + if well { rest } else { rest.max(LIST_FRESH) };
    }

    /// A look is due; it is then under way.
    pub fn look_due(&mut self, observed: &Observed, to_forget: bool) -> bool {
        let due =
            !self.looking && observed.complete() && wants_look(observed, to_forget) && Instant::now() >= self.next_look;
        self.looking |= due;
        due
    }

    /// A scan of everything is due; it is then under way.
    pub fn scan_due(&mut self, observed: &Observed) -> bool {
        let due = !self.scanning && !observed.complete() && Instant::now() >= self.next_scan;
        self.scanning |= due;
        due
    }

    /// A query of the batch system is due; it is then under way.
    pub fn list_due(&mut self, observed: &Observed, ledger: &Ledger) -> bool {
        let due = !self.listing
            && observed.complete()
            && self.list_at(observed, ledger).is_some_and(|at| Instant::now() >= at);
        self.listing |= due;
        due
    }

    fn list_at(&self, observed: &Observed, ledger: &Ledger) -> Option<Instant> {
        // A submission under way tells its result itself.
        let asked = |pod: &RemotePod| !pod.ended() && pod.directory == Directory::There;
        let mut open = observed.pods().iter().filter(|(_, pod)| asked(pod)).peekable();
        open.peek()?;
        let mut interval = self.queue_interval;
        for (uid, pod) in open {
            let told = ledger.get(uid).is_some_and(|memo| memo.told.is_some());
            if pod.job.is_none() || told && !pod.started() || pod.over_since.is_some() {
                interval = interval.min(LIST_URGENT);
            } else if pod.unfound_since.is_some() || pod.report.is_none() && pod.queue.is_none() {
                interval = interval.min(LIST_FRESH);
            }
        }
        // Not at once after a submission: most jobs have reported before it matters.
        let base = self
            .last_list
            .map_or(self.last_news + LIST_URGENT, |last| last + interval);
        Some(base.max(self.list_not_before))
    }

    /// When something will be due.
    pub fn next(&mut self, observed: &Observed, ledger: &Ledger, to_forget: bool) -> Instant {
        let now = Instant::now();
        let mut at = now + IDLE;
        if let Some(again) = self.again.take() {
            at = at.min(again);
        }
        if !observed.complete() && !self.scanning {
            at = at.min(self.next_scan);
        }
        if observed.complete() && !self.looking && wants_look(observed, to_forget) {
            at = at.min(self.next_look);
        }
        if !self.listing
            && let Some(list) = self.list_at(observed, ledger)
        {
            at = at.min(list);
        }
        at.max(now)
    }
}

/// Only pods that have not ended send reports.
fn wants_look(observed: &Observed, to_forget: bool) -> bool {
    to_forget || observed.pods().values().any(|pod| !pod.ended())
}
