//! When a connection may be tried: back-off after failures, and a breaker for those that only a person can mend.
//!
//! Driven by use. A program that polls asks every second; the gate answers at once with what is wrong until the next try
//! is due, so nothing hangs and nobody hammers a login node that is down or has us on its list.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::watch;

use crate::error::Error;
use crate::remote::LinkState;

const FIRST_DELAY: Duration = Duration::from_millis(500);
const LAST_DELAY: Duration = Duration::from_secs(60);

/// A connection that lasted this long was a good one: after it, waiting begins anew.
const STABLE: Duration = Duration::from_secs(30);

/// Admits tries to connect.
#[derive(Debug)]
pub struct Gate {
    host: String,
    link: watch::Sender<LinkState>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    delays: ExponentialBackoff,
    next: Option<Instant>,
    blocked: Option<Error>,
    last: String,
}

fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_DELAY)
        .with_max_delay(LAST_DELAY)
        .with_jitter()
        .without_max_times()
        .build()
}

impl Gate {
    /// An open one.
    pub fn new(host: String) -> Self {
        Self {
            host,
            link: watch::Sender::new(LinkState::Idle),
            state: Mutex::new(State {
                delays: delays(),
                next: None,
                blocked: None,
                last: String::new(),
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of the link, as it changes.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    /// Whether a try is due.
    ///
    /// # Errors
    /// What was wrong last.
    pub fn admit(&self) -> Result<(), Error> {
        let state = self.state();
        if let Some(error) = &state.blocked {
            return Err(error.clone());
        }
        match state.next.map(|next| next.saturating_duration_since(Instant::now())) {
            Some(wait) if !wait.is_zero() => Err(Error::Connect {
                host: self.host.clone(),
                why: format!("{} (tried again in {:.1} s)", state.last, wait.as_secs_f32()),
            }),
            _ => Ok(()),
        }
    }

    /// A connection stands.
    pub fn succeeded(&self) {
        self.state().next = None;
        self.link.send_if_modified(|link| {
            let up = matches!(link, LinkState::Up { .. });
            if !up {
                *link = LinkState::Up {
                    since: SystemTime::now(),
                };
            }
            !up
        });
    }

    /// A try has failed.
    pub fn failed(&self, error: &Error) {
        let mut state = self.state();
        if error.is_permanent() {
            tracing::error!(host = self.host, "{error}: not trying again");
            state.blocked = Some(error.clone());
            self.link.send_replace(LinkState::Blocked { why: error.to_string() });
            return;
        }
        let why = match error {
            Error::Connect { why, .. } => why.clone(),
            other => other.to_string(),
        };
        self.down(&mut state, why);
    }

    /// The connection was lost after this time.
    pub fn lost(&self, why: String, lasted: Duration) {
        let mut state = self.state();
        if lasted >= STABLE {
            state.delays = delays();
            state.next = None;
            state.last = why.clone();
            self.say_down(why);
        } else {
            self.down(&mut state, why);
        }
    }

    fn down(&self, state: &mut State, why: String) {
        let wait = state.delays.next().unwrap_or(LAST_DELAY);
        tracing::warn!(host = self.host, wait = wait.as_secs_f32(), "{why}");
        state.next = Some(Instant::now() + wait);
        state.last.clone_from(&why);
        self.say_down(why);
    }

    fn say_down(&self, why: String) {
        self.link.send_modify(|link| {
            let since = match link {
                LinkState::Down { since, .. } => *since,
                _ => SystemTime::now(),
            };
            *link = LinkState::Down { since, why };
        });
    }

    /// Forgets failures: the next use tries at once.
    pub fn reset(&self) {
        *self.state() = State {
            delays: delays(),
            next: None,
            blocked: None,
            last: String::new(),
        };
        self.link.send_replace(LinkState::Idle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Error {
        Error::Connect {
            host: "h".to_owned(),
            why: "refused".to_owned(),
        }
    }

    #[test]
    fn after_a_failure_nothing_is_tried_for_a_while_and_less_and_less_often() {
        let gate = Gate::new("h".to_owned());
        assert!(gate.admit().is_ok());
        let mut waits = Vec::new();
        for _ in 0..12 {
            gate.failed(&refused());
            waits.push(gate.state().next.unwrap() - Instant::now());
            let error = gate.admit().unwrap_err();
            assert!(
                !error.outcome_unknown() && error.to_string().contains("refused"),
                "{error}"
            );
        }
        assert!(waits[0] < waits[5] && waits[11] <= LAST_DELAY * 2, "{waits:?}");
        assert!(matches!(*gate.link().borrow(), LinkState::Down { .. }));
        gate.succeeded();
        assert!(gate.admit().is_ok());
        assert!(matches!(*gate.link().borrow(), LinkState::Up { .. }));
    }

    #[test]
    fn what_only_a_person_can_mend_trips_the_breaker_until_it_is_reset() {
        let gate = Gate::new("h".to_owned());
        gate.failed(&Error::Authentication {
            host: "h".to_owned(),
            user: "u".to_owned(),
            why: "no key".to_owned(),
        });
        assert!(gate.admit().unwrap_err().is_permanent());
        assert!(matches!(&*gate.link().borrow(), LinkState::Blocked { why } if why.contains("no key")));
        gate.reset();
        assert!(gate.admit().is_ok());
    }

    #[test]
    fn a_connection_that_dies_at_once_is_not_made_again_at_once() {
        let gate = Gate::new("h".to_owned());
        gate.lost("gone".to_owned(), STABLE);
        assert!(gate.admit().is_ok(), "a stable link is made again without delay");
        gate.lost("gone".to_owned(), Duration::from_millis(1));
        assert!(gate.admit().is_err());
    }
}
