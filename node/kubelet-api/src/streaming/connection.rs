//! One connection's life, whatever it speaks: reading, writing, and the work between them; and how it ends.

use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::streaming::pipe::{Out, Sender};

/// How long nothing may come or go: the kubelet's `streamingConnectionIdleTimeout`.
pub const IDLE: Duration = Duration::from_secs(4 * 60 * 60);
/// How often the client is asked whether it is there: one that is held up is not read from, and could be gone.
const ASK: Duration = Duration::from_secs(30);
/// How long a client has to take what is left for it and to leave. Closing at once would cost it what is on the way.
const LINGER: Duration = Duration::from_secs(10);
/// The same when the server ends.
const GRACE: Duration = Duration::from_millis(500);

/// What a client did that cannot be understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault(String);

impl Fault {
    /// In words, as what was sent.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the client sent {}", self.0)
    }
}

/// When something was last sent or received.
#[derive(Debug, Clone)]
pub struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    /// Just now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Something was sent or received.
    pub fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    async fn idle(&self, limit: Duration) {
        loop {
            let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if last.elapsed() >= limit {
                return;
            }
            sleep_until(last + limit).await;
        }
    }
}

/// Runs a connection until the work is done and the client has it all, or until the client is gone. The work sends
/// [`Out::Last`] at its end. Whatever ends, the rest is dropped.
pub async fn run(
    reading: impl Future<Output = Result<(), Fault>>,
    writing: impl Future<Output = io::Result<()>>,
    work: impl Future<Output = ()>,
    sender: &Sender,
    activity: &Activity,
    cancel: &CancellationToken,
) {
    let (mut reading, mut writing) = (pin!(reading), pin!(writing));
    let asking = async {
        loop {
            sleep(ASK).await;
            let _ = sender.send(Out::Ping).await;
        }
    };
    let done = tokio::select! {
        () = work => true,
        read = reading.as_mut() => {
            if let Err(fault) = read {
                debug!("a stream to a client of the kubelet API ends: {fault}");
                // It has been told why; that may leave.
                let _ = timeout(GRACE, writing.as_mut()).await;
            }
            false
        }
        written = writing.as_mut() => {
            if let Err(error) = written {
                debug!("a stream to a client of the kubelet API ends: {error}");
            }
            false
        }
        () = activity.idle(IDLE) => {
            debug!("a stream to a client of the kubelet API ends: nothing came or went for {} s", IDLE.as_secs());
            false
        }
        () = asking => false,
    };
    if done {
        let linger = if cancel.is_cancelled() { GRACE } else { LINGER };
        let _ = timeout(linger, async {
            if writing.as_mut().await.is_ok() {
                let _ = reading.as_mut().await;
            }
        })
        .await;
    }
}
