//! Connections to ports on a pod's node: directly, where the login node reaches it and may forward; otherwise by a relay
//! that runs on the node itself, as a session.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use towline_ssh::remote::{Reader, Writer};
use towline_ssh::{Duplex, ExitStatus};

use crate::call::words_of;
use crate::cluster::Cluster;
use crate::enter::{Input, SessionEnd};
use crate::error::Error;

/// How long a node may take to answer the login node, before the relay is tried.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a node that did not answer in time is not asked again.
const DETOUR: Duration = Duration::from_secs(60);

/// How much of a relay's complaints is repeated, in bytes.
const COMPLAINT: u64 = 4096;

/// The nodes that are known not to be reached by forwarding, and until when that is taken for granted: for good where the
/// login node forbids it, for a while where a node did not answer.
#[derive(Debug, Default)]
pub(crate) struct Detours(Mutex<HashMap<String, Option<Instant>>>);

impl Detours {
    fn knows(&self, node: &str, now: Instant) -> bool {
        let detours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        detours
            .get(node)
            .is_some_and(|until| until.is_none_or(|until| now < until))
    }

    fn forbidden(&self, node: &str) {
        self.learn(node, None);
    }

    fn silent(&self, node: &str, now: Instant) {
        self.learn(node, Some(now + DETOUR));
    }

    fn learn(&self, node: &str, until: Option<Instant>) {
        let mut detours = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        detours.insert(node.to_owned(), until);
    }
}

impl Cluster {
    /// A connection to a port of a pod that runs. `node`: the name or address of its node, as the login node knows it.
    ///
    /// # Errors
    /// Nothing listens there; the pod does not run (code 66); neither way leads there. The words say which.
    pub async fn forward(&self, uid: &str, node: Option<&str>, port: u16) -> Result<Box<dyn Duplex>, Error> {
        // Without a batch system, the pod runs where the connection ends.
        let node = if self.batch() == "host" {
            Some("127.0.0.1")
        } else {
            node
        };
        let detours = &self.0.detours;
        let direct = match node.filter(|node| !detours.knows(node, Instant::now())) {
            None => None,
            Some(node) => match tokio::time::timeout(DIRECT_TIMEOUT, self.remote().connect(node, port)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error @ towline_ssh::Error::Connect { .. })) => {
                    if error.to_string().contains("does not allow forwarding") {
                        detours.forbidden(node);
                    }
                    Some(error.to_string())
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    detours.silent(node, Instant::now());
                    Some(format!("{node} did not answer within {} s", DIRECT_TIMEOUT.as_secs()))
                }
            },
        };
        let port = port.to_string();
        let what = "connect to a port of a pod";
        let opened = self.session(what, uid, ["relay", &port], &[], Input::Open).await;
        let session = opened.map_err(|error| match (error, direct) {
            (
                Error::Script {
                    what,
                    host,
                    status,
                    stderr,
                },
                Some(direct),
            ) => Error::Script {
                what,
                host,
                status,
                stderr: format!("{stderr} (and by forwarding: {direct})"),
            },
            (error, _) => error,
        })?;
        let Some(writer) = session.stdin else {
            return Err(Error::Invalid("the relay has no input".to_owned()));
        };
        Ok(Box::new(Relayed {
            reader: session.stdout,
            writer,
            end: Some(Box::pin(whole(session.stderr, session.end))),
        }))
    }
}

/// Waits for a relay's end, which tells a connection that has ended from one that was cut.
async fn whole(complaints: Reader, end: SessionEnd) -> io::Result<()> {
    let mut said = Vec::new();
    let mut complaints = complaints.take(COMPLAINT);
    // A link that is lost is what the end says.
    let (_, end) = tokio::join!(complaints.read_to_end(&mut said), end.wait());
    match end {
        Ok(ExitStatus::Code(0)) => Ok(()),
        Ok(status) => Err(io::Error::other(format!(
            "the relay on the pod's node ended with {status}: {}",
            words_of(&said)
        ))),
        Err(error) => Err(io::Error::new(io::ErrorKind::ConnectionReset, error.to_string())),
    }
}

/// A connection through a relay; dropping it ends the relay.
struct Relayed {
    reader: Reader,
    writer: Writer,
    /// How it ended, until somebody has asked.
    end: Option<Pin<Box<dyn Future<Output = io::Result<()>> + Send>>>,
}

impl AsyncRead for Relayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        ready!(self.reader.as_mut().poll_read(context, buffer))?;
        if room > 0
            && buffer.filled().len() == before
            && let Some(end) = &mut self.end
        {
            let ended = ready!(end.as_mut().poll(context));
            self.end = None;
            ended?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.writer.as_mut().poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.as_mut().poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_did_not_answer_is_asked_again_and_a_ban_stands() {
        let (detours, now) = (Detours::default(), Instant::now());
        assert!(!detours.knows("slow", now) && !detours.knows("banned", now));
        detours.silent("slow", now);
        detours.forbidden("banned");
        let soon = now + DETOUR - Duration::from_secs(1);
        assert!(detours.knows("slow", soon) && detours.knows("banned", soon));
        let later = now + DETOUR;
        assert!(!detours.knows("slow", later) && detours.knows("banned", later));
    }
}
