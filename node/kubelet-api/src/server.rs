//! Connections: TLS, limits, and HTTP/1.1 over them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::configz::configuration;
use crate::handler::Handler;
use crate::reviews::Reviews;
use crate::streaming::{IDLE, Ticket};
use crate::taking::Taking;
use crate::user::Certified;
use crate::{Error, LogSource, Options, Pods, tls};

/// Connections at once. Others wait to be accepted.
const CONNECTIONS: usize = 1000;
/// Files that the process may have open, if it is allowed to: a connection is one, and what it asks for may be another.
const FILES: u64 = 8192;
/// How long a client has for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a client has for the head of a request, and how long a connection waits for the next one.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most, and of an answer that waits for a slow reader.
const BUFFER: usize = 64 << 10;
/// After so much silence a client is asked whether it is still there, and how often before it is given up.
const SILENCE: Duration = Duration::from_secs(30);
const PROBES: u32 = 4;
/// How long requests have to end once the server is told to.
const GRACE: Duration = Duration::from_secs(1);
/// How long to wait when no connection can be accepted (too many open files).
const PAUSE: Duration = Duration::from_millis(200);

/// A server that runs until its token is cancelled.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends when the server and all its connections have.
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
    room_for_files();
    let config = tls::config(options.certificate, options.client_ca.as_deref())?;
    let listen = |source| Error::Listen {
        address: options.listen,
        source,
    };
    let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    info!(node = options.session.node(), %address, "serving the kubelet API");
    let handler = Handler::new(
        Reviews::new(options.session),
        pods,
        logs,
        options.sessions,
        options.meters,
        configuration(address),
    );
    let server = Server {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        handler: Arc::new(handler),
        connections: TaskTracker::new(),
        cancel,
    };
    let task = tokio::spawn(server.run(listener));
    Ok(Serving { address, task })
}

#[derive(Clone)]
struct Server {
    acceptor: TlsAcceptor,
    handler: Arc<Handler>,
    connections: TaskTracker,
    cancel: CancellationToken,
}

impl Server {
    async fn run(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
            // The semaphore is never closed.
            while let Ok(place) = Arc::clone(&places).acquire_owned().await {
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        self.connections.spawn(self.clone().connection(stream, peer, place));
                    }
                    Err(error) => {
                        warn!("failed to accept a connection to the kubelet API: {error}");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
            }
        };
        self.cancel.run_until_cancelled(accepting).await;
        drop(listener);
        self.connections.close();
        self.connections.wait().await;
    }

    async fn connection(self, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
        let place = Arc::new(place);
        prepare(&stream);
        let stream = Taking::within(IDLE, stream);
        let handshake = tokio::time::timeout(HANDSHAKE, self.acceptor.accept(stream));
        let stream = match self.cancel.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => return debug!(%peer, "a TLS handshake with the kubelet API failed: {error}"),
            Some(Err(_)) | None => return,
        };
        let certificates = stream.get_ref().1.peer_certificates();
        let certified = certificates
            .and_then(|chain| Certified::read(chain.first()?))
            .map(Arc::new);
        let service = service_fn(|mut request: http::Request<hyper::body::Incoming>| {
            let (handler, certified) = (Arc::clone(&self.handler), certified.clone());
            let ticket = Ticket {
                upgrade: hyper::upgrade::on(&mut request),
                tasks: self.connections.clone(),
                cancel: self.cancel.clone(),
                place: Arc::clone(&place),
            };
            async move {
                let (head, _body) = request.into_parts();
                Ok::<_, Infallible>(handler.answer(certified.as_deref(), &head, ticket).await)
            }
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut serving = std::pin::pin!(serving);
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = self.cancel.cancelled() => {
                serving.as_mut().graceful_shutdown();
                tokio::time::timeout(GRACE, serving).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            debug!(%peer, "a connection to the kubelet API ended early: {error}");
        }
    }
}

/// Raises how many files may be open, as far as that is allowed: services begin with 1,024.
fn room_for_files() {
    let mut limits = getrlimit(Resource::Nofile);
    let wanted = limits.maximum.map_or(FILES, |most| most.min(FILES));
    if limits.current.is_some_and(|current| current < wanted) {
        limits.current = Some(wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limits) {
            warn!("failed to raise the limit of open files to {wanted}: {error}");
        }
    }
}

/// Lets small pieces leave at once, and finds out when the other side is gone without a word.
fn prepare(stream: &TcpStream) {
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(SILENCE / PROBES)
        .with_retries(PROBES);
    let set = stream.set_nodelay(true);
    if let Err(error) = set.and_then(|()| SockRef::from(stream).set_tcp_keepalive(&keepalive)) {
        debug!("failed to set the options of a connection: {error}");
    }
}
