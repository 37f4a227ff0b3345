//! Connections to ports on a pod's node: directly, where the login node reaches it and may forward; otherwise by a relay
//! that runs on the node itself, as a session.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use towline_ssh::Duplex;
use towline_ssh::remote::{Reader, Writer};

use crate::cluster::Cluster;
use crate::enter::{Input, SessionEnd};
use crate::error::Error;

/// How long a node may take to answer the login node, before the relay is tried.
const DIRECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The nodes that are known not to be reached by forwarding.
#[derive(Debug, Default)]
pub(crate) struct Detours(Mutex<HashSet<String>>);

impl Detours {
    fn knows(&self, node: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    fn learn(&self, node: &str) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(node.to_owned());
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
        let direct = match node.filter(|node| !detours.knows(node)) {
            None => None,
            Some(node) => match tokio::time::timeout(DIRECT_TIMEOUT, self.remote().connect(node, port)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error @ towline_ssh::Error::Connect { .. })) => {
                    if error.to_string().contains("does not allow forwarding") {
                        detours.learn(node);
                    }
                    Some(error.to_string())
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {
                    detours.learn(node);
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
            _end: session.end,
        }))
    }
}

/// A connection through a relay; dropping it ends the relay.
struct Relayed {
    reader: Reader,
    writer: Writer,
    _end: SessionEnd,
}

impl AsyncRead for Relayed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.reader.as_mut().poll_read(context, buffer)
    }
}

impl AsyncWrite for Relayed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        self.writer.as_mut().poll_write(context, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.writer.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.writer.as_mut().poll_shutdown(context)
    }
}
