//! A connection to the API server in the name of one virtual node.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client, Config};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::info;

use crate::Error;
use crate::identity::files::private_directory;
use crate::identity::{Credentials, credentials, rotation};

/// How long one request may take.
pub(crate) const REQUEST: Duration = Duration::from_secs(30);

/// Requests under way at once per node, watches and leases apart. Each takes a connection of its own (HTTP/1.1), so this
/// bounds memory here and load there; more in parallel makes a burst no faster.
const PARALLEL: usize = 32;

/// How long after a status more of them are likely.
const TELLING: Duration = Duration::from_millis(250);
/// How long what matters less waits then.
const GIVE_WAY: Duration = Duration::from_millis(100);

/// A connection to the API server in the name of one virtual node. Cheap to clone.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    node: String,
    server: String,
    directory: PathBuf,
    ca_pem: Option<Vec<u8>>,
    clients: ArcSwap<Clients>,
    /// What the clients were made from.
    config: Mutex<Option<Config>>,
    generation: watch::Sender<u64>,
    requests: Semaphore,
    /// When a status was last written.
    told: Mutex<Option<Instant>>,
    /// Ends with the last clone of the session.
    rotation: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Two clients with connections of their own.
struct Clients {
    ordinary: Client,
    /// For the lease. After an outage the ordinary client may hold many dead connections, and each of them would cost a
    /// renewal its time limit.
    vital: Client,
}

impl Clients {
    fn new(config: &Config, server: &str) -> Result<Self, Error> {
        Ok(Self {
            ordinary: client(config, server)?,
            vital: client(config, server)?,
        })
    }
}

impl Session {
    /// Connects in the name of `node`. What has to be kept (keys, certificates, the instance id) lies below
    /// `state_dir/NODE`, which several nodes may share.
    ///
    /// With [`Credentials::Bootstrap`] this returns only when the cluster has signed the node's certificate; progress is
    /// logged. Drop the future to give up.
    ///
    /// # Errors
    /// Credentials that cannot be used, or an API server that cannot be reached or does not accept them.
    pub async fn connect(node: &str, credentials: &Credentials, state_dir: &Path) -> Result<Self, Error> {
        if node.is_empty() || node.contains(['/', '\0']) || node.starts_with('.') {
            return Err(Error::credentials(
                format!("{node:?} as a node's name"),
                "it must be a DNS name",
            ));
        }
        let directory = state_dir.join(node);
        private_directory(&directory)?;
        let ready = credentials::resolve(node, credentials, &directory).await?;
        let session = Self::new(node, &ready.config, &directory)?;
        session.greet().await?;
        if let Some(plan) = ready.rotation {
            let task = rotation::spawn(session.downgrade(), plan);
            *session
                .inner
                .rotation
                .lock()
                .unwrap_or_else(|poison| poison.into_inner()) = Some(task);
        }
        Ok(session)
    }

    fn new(node: &str, config: &Config, directory: &Path) -> Result<Self, Error> {
        let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let clients = Clients::new(config, &server)?;
        let session = Self::of(node, server, directory, credentials::ca_pem(config), clients);
        *session.config() = Some(config.clone());
        Ok(session)
    }

    fn config(&self) -> MutexGuard<'_, Option<Config>> {
        self.inner.config.lock().unwrap_or_else(|poison| poison.into_inner())
    }

    fn of(node: &str, server: String, directory: &Path, ca_pem: Option<Vec<u8>>, clients: Clients) -> Self {
        let inner = Inner {
            node: node.to_owned(),
            server,
            directory: directory.to_owned(),
            ca_pem,
            clients: ArcSwap::from_pointee(clients),
            config: Mutex::new(None),
            generation: watch::Sender::new(0),
            requests: Semaphore::new(PARALLEL),
            told: Mutex::new(None),
            rotation: Mutex::new(None),
        };
        Self { inner: Arc::new(inner) }
    }

    /// A session over any client, for tests.
    #[cfg(test)]
    pub(crate) fn for_test(node: &str, client: Client, directory: &Path) -> Self {
        let clients = Clients {
            ordinary: client.clone(),
            vital: client,
        };
        Self::of(node, "https://test".to_owned(), directory, None, clients)
    }

    /// As a rotation does, for tests.
    #[cfg(test)]
    pub(crate) fn replace_for_test(&self, client: Client) {
        self.install(Clients {
            ordinary: client.clone(),
            vital: client,
        });
    }

    /// Does not keep the session alive.
    pub(crate) fn downgrade(&self) -> Weak<Inner> {
        Arc::downgrade(&self.inner)
    }

    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self { inner }
    }

    /// One request that every node may make, so that wrong credentials are said at once.
    async fn greet(&self) -> Result<(), Error> {
        let nodes: Api<Node> = Api::all(self.client());
        self.call(&format!("get node {}", self.node()), nodes.get_opt(self.node()))
            .await?;
        info!(
            node = self.node(),
            server = self.server(),
            "connected to the API server"
        );
        Ok(())
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// The API server's address, for messages.
    pub fn server(&self) -> &str {
        &self.inner.server
    }

    /// The node's own directory, below the state directory (0700).
    pub fn state_dir(&self) -> &Path {
        &self.inner.directory
    }

    /// The current client; take it anew for each request, since the rotation of the certificate replaces it.
    pub fn client(&self) -> Client {
        self.inner.clients.load().ordinary.clone()
    }

    /// The current client for what must not wait behind anything else.
    pub(crate) fn vital_client(&self) -> Client {
        self.inner.clients.load().vital.clone()
    }

    /// The cluster's CA as this connection knows it, PEM.
    pub fn ca_pem(&self) -> Option<Vec<u8>> {
        self.inner.ca_pem.clone()
    }

    /// Changes when the client was replaced: watches are started again then.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.generation.subscribe()
    }

    /// Replaces the clients; requests under way end on the old ones.
    pub(crate) fn replace(&self, config: &Config) -> Result<(), Error> {
        let clients = Clients::new(config, self.server())?;
        *self.config() = Some(config.clone());
        self.install(clients);
        Ok(())
    }

    /// Leaves all connections and makes new ones: those that hang without an end are found out by nothing else for long.
    pub(crate) fn reconnect(&self) -> Result<(), Error> {
        let config = self.config().clone();
        if let Some(config) = config {
            self.install(Clients::new(&config, self.server())?);
        }
        Ok(())
    }

    fn install(&self, clients: Clients) {
        self.inner.clients.store(Arc::new(clients));
        self.inner.generation.send_modify(|generation| *generation += 1);
    }

    /// A place among the requests under way.
    pub(crate) async fn place(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed.
        self.inner.requests.acquire().await.ok()
    }

    /// A status is being written.
    pub(crate) fn tells(&self) {
        *self.told() = Some(Instant::now());
    }

    /// Lets statuses go first: waits a moment if some are being written. Not longer, so that what matters less is done in
    /// the end, however many there are.
    pub(crate) async fn give_way(&self) {
        let telling = self.told().is_some_and(|at| at.elapsed() < TELLING);
        if telling {
            tokio::time::sleep(GIVE_WAY).await;
        }
    }

    fn told(&self) -> MutexGuard<'_, Option<Instant>> {
        self.inner.told.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Runs a request with a time limit and says in its error what it was.
    ///
    /// # Errors
    /// [`Error::Api`] or [`Error::Timeout`].
    pub(crate) async fn call<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        self.call_within(REQUEST, what, request).await
    }

    /// As [`Session::call`], with another limit.
    pub(crate) async fn call_within<T>(
        &self,
        limit: Duration,
        what: &str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, Error> {
        bounded(limit, self.server(), what, request).await
    }
}

/// Runs a request with a time limit and says in its error what it was.
pub(crate) async fn bounded<T>(
    limit: Duration,
    server: &str,
    what: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, Error> {
    match tokio::time::timeout(limit, request).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::api(what, server, &error)),
        Err(_) => Err(Error::Timeout {
            what: what.to_owned(),
            server: server.to_owned(),
            after: limit,
        }),
    }
}

/// A client that never waits for ever: kube's default has no limit on reading.
pub(crate) fn client(config: &Config, server: &str) -> Result<Client, Error> {
    let mut config = config.clone();
    config.connect_timeout = Some(Duration::from_secs(10));
    // Longer than a watch lives, shorter than a person waits.
    config.read_timeout = Some(crate::watching::WATCH_LIFE + Duration::from_secs(30));
    config.reset_reader_on_write = true;
    Client::try_from(config).map_err(|error| Error::api("make a client", server, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_matters_less_waits_a_moment_while_statuses_are_written() {
        let (service, _) =
            tower_test::mock::pair::<http::Request<kube::client::Body>, http::Response<kube::client::Body>>();
        let session = Session::for_test("hpc", Client::new(service, "default"), Path::new("/"));
        let waited = async || {
            let begun = Instant::now();
            session.give_way().await;
            begun.elapsed()
        };
        assert_eq!(waited().await, Duration::ZERO);
        session.tells();
        assert!(waited().await >= GIVE_WAY, "behind the statuses");
        assert!(waited().await < TELLING, "but not for ever");
        tokio::time::advance(TELLING).await;
        assert_eq!(waited().await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_is_an_error_that_says_which() {
        let hanging = std::future::pending::<Result<(), kube::Error>>();
        let error = bounded(REQUEST, "https://a:6443", "get node n", hanging)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }));
        let text = error.to_string();
        assert!(
            text.contains("get node n") && text.contains("https://a:6443") && text.contains("30 s"),
            "{text}"
        );
    }
}
