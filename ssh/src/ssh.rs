//! A host over SSH as a [`Remote`].

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::auth::{Answers, Proven};
use crate::bulk::{Lease, Pool};
use crate::channel::open_session;
use crate::client::{Accepted, AcceptedHostKey};
use crate::collect;
use crate::command::{Command, Output};
use crate::config;
use crate::connection::{Connection, Route};
use crate::error::Error;
use crate::gate::Gate;
use crate::options::Options;
use crate::remote::{Duplex, LinkState, Process, Remote};
use crate::shell::Shell;
use crate::stream;

/// Commands at once on the control connection: with the shell and what is just being closed, below the usual limit of 10
/// channels (`MaxSessions`).
const MAX_RUNS: usize = 4;

/// A command with more input than this, in bytes, travels beside the short ones and not among them.
const BULKY: usize = 1 << 20;

/// How long a connection may refuse another stream before it is taken for full.
const SLOT_TIMEOUT: Duration = Duration::from_millis(500);

/// How long [`Remote::connect`] may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// A host over SSH. It connects on first use, and again after a loss when it is used again.
///
/// Short commands share one connection; streams have others ([`Options::bulk_connections`]), which come and go with
/// them. Where a person had to answer to get in, there is only the one connection, so that nobody is asked twice.
#[derive(Debug)]
pub struct Ssh {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    notes: Vec<String>,
    route: Route,
    gate: Arc<Gate>,
    /// Held while it is being made.
    control: Mutex<Option<Arc<Connection>>>,
    shell: Mutex<Option<Shell>>,
    runs: Arc<Semaphore>,
    pool: Arc<Pool>,
    /// Held while a connection for streams is being made.
    adding: Mutex<()>,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route")
            .field("hops", &self.hops)
            .finish_non_exhaustive()
    }
}

impl Ssh {
    /// Resolves the configuration; connects on first use.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a target or a configuration that cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let resolved = config::resolve(&options)?;
        let Some(last) = resolved.hops.last() else {
            return Err(Error::Invalid(format!("there is no way to {}", options.target)));
        };
        let name = crate::target::Target {
            user: Some(last.user.clone()),
            host: last.host.clone(),
            port: Some(last.port),
        };
        for note in &resolved.notes {
            tracing::warn!("{note}");
        }
        let name = name.to_string();
        Ok(Self {
            inner: Arc::new(Inner {
                gate: Arc::new(Gate::new(name.clone())),
                name,
                notes: resolved.notes,
                route: Route {
                    hops: resolved.hops,
                    accept_new: options.accept_new_host_key,
                    accepted: Accepted::default(),
                    prompt: options.prompt,
                    answers: Answers::default(),
                },
                control: Mutex::new(None),
                shell: Mutex::new(None),
                runs: Arc::new(Semaphore::new(MAX_RUNS)),
                pool: Pool::new(
                    options.bulk_connections,
                    options.max_bulk_connections,
                    options.bulk_idle,
                ),
                adding: Mutex::new(()),
            }),
        })
    }

    /// Connects now, if there is no connection yet.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connect_now(&self) -> Result<(), Error> {
        self.control(None).await.map(drop)
    }

    /// Takes back that the link is [`LinkState::Blocked`] or waits: the next use tries again.
    pub fn retry(&self) {
        self.inner.gate.reset();
    }

    /// Host keys that were accepted on first use.
    pub fn accepted_host_keys(&self) -> Vec<AcceptedHostKey> {
        let accepted = self.inner.route.accepted.lock().unwrap_or_else(PoisonError::into_inner);
        accepted.clone()
    }

    /// Lines of the configuration that hold for this host and are not followed.
    pub fn notes(&self) -> &[String] {
        &self.inner.notes
    }

    /// How many connections for streams there are now.
    pub fn bulk_connections(&self) -> usize {
        self.inner.pool.len()
    }

    /// The control connection, made by a task of its own: a caller that stops waiting does not stop it.
    async fn control(&self, deadline: Option<Instant>) -> Result<Arc<Connection>, Error> {
        let inner = Arc::clone(&self.inner);
        self.in_time(deadline, async move { inner.control().await }).await
    }

    async fn bulk(&self, deadline: Instant) -> Result<(Arc<Connection>, Option<Lease>), Error> {
        let pool = &self.inner.pool;
        let ticket = match tokio::time::timeout_at(deadline, pool.ticket()).await {
            Ok(Some(ticket)) => ticket,
            _ => {
                return Err(Error::NotStarted {
                    host: self.inner.name.clone(),
                    why: format!(
                        "the time was up while all places for streams ({}) were taken",
                        pool.places()
                    ),
                });
            }
        };
        let inner = Arc::clone(&self.inner);
        self.in_time(Some(deadline), async move { inner.bulk(ticket).await })
            .await
    }

    async fn in_time<T: Send + 'static>(
        &self,
        deadline: Option<Instant>,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let failed = |why: &str| {
            Err(Error::Connect {
                host: self.inner.name.clone(),
                why: why.to_owned(),
            })
        };
        let task = tokio::spawn(work);
        let joined = match deadline {
            Some(deadline) => match tokio::time::timeout_at(deadline, task).await {
                Ok(joined) => joined,
                Err(_) => return failed("the connection is still being made"),
            },
            None => task.await,
        };
        joined.unwrap_or_else(|error| failed(&error.to_string()))
    }

    async fn run_slot(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        let slot = Arc::clone(&self.inner.runs).acquire_owned();
        match tokio::time::timeout_at(deadline, slot).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::NotStarted {
                host: self.inner.name.clone(),
                why: format!("the time was up while {MAX_RUNS} other commands were running"),
            }),
        }
    }
}

impl Inner {
    async fn control(&self) -> Result<Arc<Connection>, Error> {
        let mut control = self.control.lock().await;
        if let Some(connection) = control.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(Arc::clone(connection));
        }
        *control = None;
        let connection = self.dial().await?;
        *control = Some(Arc::clone(&connection));
        self.watch(&connection);
        Ok(connection)
    }

    /// Connects if the gate lets us.
    async fn dial(&self) -> Result<Arc<Connection>, Error> {
        self.gate.admit()?;
        match self.route.dial(&self.name).await {
            Ok(connection) => {
                self.gate.succeeded();
                Ok(Arc::new(connection))
            }
            Err(error) => {
                self.gate.failed(&error);
                Err(error)
            }
        }
    }

    /// Connects beside the control connection. While that one stands, the link is up whatever comes of this.
    async fn dial_another(&self) -> Result<Arc<Connection>, Error> {
        self.gate.admit()?;
        match self.route.dial(&self.name).await {
            Ok(connection) => Ok(Arc::new(connection)),
            Err(error) => {
                if error.is_permanent() {
                    self.gate.failed(&error);
                }
                Err(error)
            }
        }
    }

    /// Tells the gate when the connection is lost, without keeping it.
    fn watch(&self, connection: &Arc<Connection>) {
        let (lost, since) = (connection.lost(), connection.since);
        let gate = Arc::clone(&self.gate);
        tokio::spawn(async move {
            if let Some(why) = lost.await {
                gate.lost(why, since.elapsed());
            }
        });
    }

    async fn bulk(&self, ticket: OwnedSemaphorePermit) -> Result<(Arc<Connection>, Option<Lease>), Error> {
        let control = self.control().await?;
        if control.proven == Proven::ByPerson {
            return Ok((control, None));
        }
        let _one_at_a_time = self.adding.lock().await;
        let (connection, lease) = match self.pool.lease(ticket) {
            Ok(place) => place,
            Err(ticket) => self.pool.add(self.dial_another().await?, ticket),
        };
        Ok((connection, Some(lease)))
    }
}

#[async_trait]
impl Remote for Ssh {
    async fn shell(&self, command: Command) -> Result<Output, Error> {
        let deadline = Instant::now() + command.timeout;
        let late = |_| Error::NotStarted {
            host: self.inner.name.clone(),
            why: "the time was up while another command was in the shell".to_owned(),
        };
        let mut place = tokio::time::timeout_at(deadline, self.inner.shell.lock())
            .await
            .map_err(late)?;
        let connection = self.control(Some(deadline)).await?;
        // Taken out while it works: if this future is dropped, so is the shell, and what it was doing ends.
        let mut shell = match place.take() {
            Some(shell) if shell.is_good(&connection) => shell,
            _ => Shell::start(connection, deadline).await?,
        };
        let output = shell.run(&command, deadline).await?;
        *place = Some(shell);
        Ok(output)
    }

    async fn run(&self, command: Command) -> Result<Output, Error> {
        let deadline = Instant::now() + command.timeout;
        if command.stdin.len() > BULKY {
            let (connection, lease) = self.bulk(deadline).await?;
            return collect::run(connection, lease, &command, deadline).await;
        }
        let permit = self.run_slot(deadline).await?;
        let connection = self.control(Some(deadline)).await?;
        collect::run(connection, permit, &command, deadline).await
    }

    async fn open(&self, command: Command) -> Result<Process, Error> {
        let deadline = Instant::now() + command.timeout;
        loop {
            let (connection, lease) = self.bulk(deadline).await?;
            // A slot may become free in a moment; after that, another connection may have one.
            let patience = match &lease {
                Some(_) => deadline.min(Instant::now() + SLOT_TIMEOUT),
                None => deadline,
            };
            match open_session(&connection, patience).await {
                Ok(channel) => return stream::open(channel, connection, lease, &command, deadline).await,
                Err(Error::NotStarted { .. })
                    if Instant::now() < deadline && lease.as_ref().is_some_and(Lease::refused) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Duplex>, Error> {
        let deadline = Instant::now() + CONNECT_TIMEOUT;
        let (connection, lease) = self.bulk(deadline).await?;
        let connected = tokio::time::timeout_at(deadline, stream::connect(&connection, lease, host, port));
        connected.await.unwrap_or_else(|_| {
            Err(Error::Connect {
                host: format!("{host}:{port} from {}", self.inner.name),
                why: format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            })
        })
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.inner.gate.link()
    }

    fn name(&self) -> String {
        self.inner.name.clone()
    }

    async fn close(&self) {
        let shell = self.inner.shell.lock().await.take();
        let control = self.inner.control.lock().await.take();
        drop(shell);
        for connection in self.inner.pool.clear().into_iter().chain(control) {
            connection.disconnect().await;
        }
        self.inner.gate.reset();
    }
}
