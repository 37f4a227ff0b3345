//! One authenticated connection, through as many hosts as it takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{Config, Handle, connect_stream};
use russh::{Disconnect, Preferred, compression};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::auth::{Answers, Log, Login, Proven};
use crate::ciphers;
use crate::client::{Accepted, Client, Stop, describe};
use crate::config::Hop;
use crate::error::Error;
use crate::known_hosts::KnownHosts;
use crate::options::Prompt;

/// Without `ConnectTimeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a person may take to answer; hosts wait two minutes (`LoginGraceTime`).
const PERSON_TIMEOUT: Duration = Duration::from_secs(150);

/// How many bytes a host may send ahead of us on one channel. At a round trip of 20 ms this still allows 160 MB/s.
const WINDOW: u32 = 4 << 20;

/// Bytes read from a connection at once. The library asks for the length of a packet and then for the packet, and most
/// packets are small.
const READ: usize = 128 << 10;

/// Everything that is needed to connect once more.
pub struct Route {
    pub hops: Vec<Hop>,
    pub accept_new: bool,
    pub accepted: Accepted,
    pub prompt: Option<Arc<dyn Prompt>>,
    pub answers: Answers,
}

/// A connection. Dropping the last reference closes it once its channels are closed.
pub struct Connection {
    pub(crate) handle: Handle<Client>,
    /// What it goes through, kept open.
    through: Vec<Handle<Client>>,
    ended: watch::Receiver<Option<String>>,
    /// Its end is wanted.
    closing: CancellationToken,
    pub(crate) proven: Proven,
    pub(crate) since: Instant,
    /// For messages.
    pub(crate) name: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).finish()
    }
}

impl Connection {
    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.handle.is_closed() || self.ended.borrow().is_some()
    }

    /// Why it ended.
    pub fn why(&self) -> String {
        let why = self.ended.borrow().clone();
        why.unwrap_or_else(|| "the link was lost".to_owned())
    }

    /// A future, not bound to this connection, of its end: the reason if it was not wanted.
    pub fn lost(&self) -> impl Future<Output = Option<String>> + Send + 'static {
        let (mut ended, closing) = (self.ended.clone(), self.closing.clone());
        async move {
            tokio::select! {
                biased;
                () = closing.cancelled() => None,
                why = ended.wait_for(Option::is_some) => why.ok().and_then(|why| why.clone()),
            }
        }
    }

    /// Ends it now.
    pub async fn disconnect(&self) {
        self.closing.cancel();
        // An error means that it has ended already.
        let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
        for handle in self.through.iter().rev() {
            let _ = handle.disconnect(Disconnect::ByApplication, "", "").await;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

impl Route {
    /// Connects.
    ///
    /// # Errors
    /// [`Error::Connect`], or one of the permanent ones.
    pub async fn dial(&self, name: &str) -> Result<Connection, Error> {
        let mut through: Vec<Handle<Client>> = Vec::new();
        let mut reached = None;
        for hop in &self.hops {
            let host = format!("{}:{}", hop.host, hop.port);
            let limit = hop.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
            let (handle, ended) = match reached.take() {
                None => within(limit, &host, self.direct(hop)).await?,
                Some((handle, _, _)) => {
                    let connected = within(limit, &host, self.hopping(&handle, hop)).await;
                    through.push(handle);
                    connected?
                }
            };
            let mut handle = handle;
            let login = Login {
                handle: &mut handle,
                hop,
                prompt: self.prompt.as_ref(),
                answers: &self.answers,
                log: Log::default(),
            };
            let patience = if self.prompt.is_some() {
                limit.max(PERSON_TIMEOUT)
            } else {
                limit
            };
            let proven = within(patience, &host, login.run()).await?;
            tracing::debug!(host, user = hop.user, "authenticated");
            reached = Some((handle, ended, proven));
        }
        let Some((handle, ended, proven)) = reached else {
            return Err(Error::Invalid(format!("there is no way to {name}")));
        };
        Ok(Connection {
            handle,
            through,
            ended,
            closing: CancellationToken::new(),
            proven,
            since: Instant::now(),
            name: name.to_owned(),
        })
    }

    async fn direct(&self, hop: &Hop) -> Result<(Handle<Client>, watch::Receiver<Option<String>>), Error> {
        let failed = |error: std::io::Error| Error::Connect {
            host: format!("{}:{}", hop.host, hop.port),
            why: error.to_string(),
        };
        let stream = TcpStream::connect((hop.host.as_str(), hop.port))
            .await
            .map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        self.handshake(hop, stream).await
    }

    async fn hopping(
        &self,
        before: &Handle<Client>,
        hop: &Hop,
    ) -> Result<(Handle<Client>, watch::Receiver<Option<String>>), Error> {
        let channel = before
            .channel_open_direct_tcpip(hop.host.clone(), u32::from(hop.port), "127.0.0.1", 0)
            .await
            .map_err(|error| Error::Connect {
                host: format!("{}:{}", hop.host, hop.port),
                why: format!("the host before it did not reach it: {}", describe(&error)),
            })?;
        self.handshake(hop, channel.into_stream()).await
    }

    async fn handshake<S>(
        &self,
        hop: &Hop,
        stream: S,
    ) -> Result<(Handle<Client>, watch::Receiver<Option<String>>), Error>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let files: Vec<_> = hop
            .user_known_hosts
            .iter()
            .chain(&hop.global_known_hosts)
            .cloned()
            .collect();
        let known = KnownHosts::read(&files, &hop.host, hop.port, hop.host_key_alias.as_deref())?;
        let config = Arc::new(library_config(hop, &known));
        let (sender, ended) = watch::channel(None);
        let client = Client {
            hop: hop.clone(),
            known,
            accept_new: self.accept_new,
            accepted: Arc::clone(&self.accepted),
            ended: sender,
        };
        match connect_stream(config, BufReader::with_capacity(READ, stream), client).await {
            Ok(handle) => Ok((handle, ended)),
            Err(Stop::Ours(error)) => Err(error),
            Err(Stop::Ssh(error)) => Err(Error::Connect {
                host: format!("{}:{}", hop.host, hop.port),
                why: describe(&error),
            }),
        }
    }
}

fn library_config(hop: &Hop, known: &KnownHosts) -> Config {
    let keys = known.preferred_algorithms();
    Config {
        window_size: WINDOW,
        keepalive_interval: hop.alive_interval,
        keepalive_max: hop.alive_count,
        nodelay: true,
        preferred: Preferred {
            host_key_certificates: if known.has_authority() {
                keys.clone().into()
            } else {
                Vec::new().into()
            },
            key: keys.into(),
            cipher: ciphers::preferred().into(),
            // Most of what travels is either tiny or compressed already.
            compression: vec![compression::NONE].into(),
            ..Preferred::default()
        },
        ..Config::default()
    }
}

async fn within<T>(limit: Duration, host: &str, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(Error::Connect {
            host: host.to_owned(),
            why: format!("it did not answer within {} s", limit.as_secs_f32()),
        })
    })
}
