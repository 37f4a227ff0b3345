//! From settings to running nodes, and back to nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use futures::future::{select_all, try_join_all};
use k8s_openapi::api::core::v1::ContainerImage;
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use towline_apiserver::events::Recorder;
use towline_apiserver::identity::Serving;
use towline_apiserver::node::{NodeDescription, NodeKeeper};
use towline_apiserver::pods::Desired;
use towline_apiserver::references::ReferenceReader;
use towline_apiserver::{Credentials, Session};
use towline_cluster::Cluster;
use towline_core::images::ImageLimits;
use towline_core::translate::default_runtime;
use towline_ssh::{LinkState, Remote};

use super::effects::Hands;
use super::endpoint::{self, Shared};
use super::images;
use super::metrics::Metrics;
use super::pace::Pace;
use super::reconcile::{Reconcile, Shown};
use super::site::{Common, NodeSettings, NodeSite};
use super::usage::Usages;

/// How long the connection may take to be closed in order.
const GOODBYE: Duration = Duration::from_secs(3);

/// Everything that `towline node` needs to know.
pub struct Settings {
    /// The host.
    pub remote: Arc<dyn Remote>,
    /// Agent, directory and batch system on the host. The owner is filled in here.
    pub cluster: towline_cluster::Options,
    /// The container runtime; `None` is whichever is there.
    pub runtime: Option<String>,
    /// Where the nodes' credentials come from.
    pub credentials: Credentials,
    /// Where keys and certificates are kept.
    pub state_dir: PathBuf,
    /// What holds for all nodes; what depends on the cluster is filled in here.
    pub common: Common,
    /// The nodes.
    pub nodes: Vec<NodeSettings>,
    /// The kubelet endpoint.
    pub kubelet: KubeletSettings,
    /// When prepared images are removed.
    pub images: ImageLimits,
    /// Between looks at pods that run quietly.
    pub look_interval: Duration,
    /// Between queries of the batch system.
    pub queue_interval: Duration,
}

/// The kubelet endpoint.
pub struct KubeletSettings {
    /// Where the control plane reaches it; `None`: the address of this machine towards the API server.
    pub address: Option<String>,
    /// Its port; 0 is any. A second node has the next one, and so on.
    pub port: u16,
    /// Its certificate.
    pub serving: Serving,
    /// The CA of those who may come with a client certificate; `None`: the cluster's.
    pub client_ca_file: Option<PathBuf>,
}

/// Runs until `cancel` or until a node cannot be kept. Starting may take as long as a host is out of reach or a
/// certificate is not signed: `cancel` ends that as well, at once.
///
/// # Errors
/// What kept it from starting, or what ended it.
pub async fn run(settings: Settings, cancel: CancellationToken) -> anyhow::Result<()> {
    let remote = Arc::clone(&settings.remote);
    // Ends by itself what a start that is cut off has begun.
    let stop = cancel.child_token();
    let guard = stop.clone().drop_guard();
    let result = match cancel.run_until_cancelled(start(settings, stop)).await {
        Some(Ok(started)) => started.until(&cancel).await,
        Some(Err(error)) => Err(error),
        None => Ok(()),
    };
    drop(guard);
    // A connection that is still being made has nobody to say goodbye to.
    if tokio::time::timeout(GOODBYE, remote.close()).await.is_err() {
        tracing::debug!("the connection could not be closed in order");
    }
    result
}

/// What runs.
struct Started {
    keepers: Vec<NodeKeeper>,
    worker: JoinHandle<()>,
    teller: JoinHandle<()>,
}

impl Started {
    async fn until(self, cancel: &CancellationToken) -> anyhow::Result<()> {
        let failed = select_all(self.keepers.iter().map(|keeper| Box::pin(keeper.failed())));
        // Told to end, the loop ends as well: that is no failure, whichever is seen first.
        let result = tokio::select! {
            biased;
            () = cancel.cancelled() => Ok(()),
            (error, _, _) = failed => Err(anyhow::Error::new(error).context("a node can be kept no longer")),
            ended = self.worker => Err(match ended {
                Ok(()) => anyhow::anyhow!("the loop has ended"),
                Err(error) => anyhow::Error::new(error).context("the loop has failed"),
            }),
        };
        self.teller.abort();
        result
    }
}

async fn start(mut settings: Settings, stop: CancellationToken) -> anyhow::Result<Started> {
    let sessions = try_join_all(settings.nodes.iter().map(|node| async {
        let connected = Session::connect(&node.name, &settings.credentials, &settings.state_dir).await;
        connected.with_context(|| format!("node {} has no access to the API server", node.name))
    }))
    .await?;
    let first = sessions.first().context("no node is configured")?.clone();
    settings.cluster.owner = owner(&first);
    settings.common.address = match settings.kubelet.address.take() {
        Some(address) => address,
        None => own_address(first.server()).await?,
    };
    let cluster = connect(&settings).await?;
    let (facts, partitions) = cluster
        .probe()
        .await
        .context("failed to ask the cluster what it offers")?;
    let target = cluster.remote().name();
    settings.common.target.clone_from(&target);
    settings.common.agent = cluster.agent().to_owned();
    settings.common.batch = cluster.batch().to_owned();
    settings.common.runtime = settings.runtime.clone().unwrap_or_else(|| {
        let here = facts.get("apptainer").is_some_and(|version| version != "no");
        default_runtime(cluster.batch(), here).to_owned()
    });

    let shown: Arc<Shown> = Arc::new(ArcSwap::from_pointee(BTreeMap::new()));
    let metrics = Arc::new(Metrics::new());
    let shared = Shared {
        usages: Arc::new(Usages::new(cluster.clone(), shown.clone(), metrics.clone())),
        shown: shown.clone(),
        cluster: cluster.clone(),
        metrics: metrics.clone(),
    };
    let mut nodes = Vec::new();
    for (n, (session, node)) in sessions.iter().zip(&settings.nodes).enumerate() {
        let mut site = NodeSite::new(node, &settings.common, &facts, &partitions)?;
        let addresses = &site.description.addresses;
        let endpoint = endpoint::open(n, session, addresses, &settings.kubelet, shared.clone(), stop.clone()).await?;
        site.description.kubelet_port = i32::from(node.port.unwrap_or(endpoint.address.port()));
        nodes.push(site);
    }
    for node in &nodes {
        let partition = node.site.partition.as_deref().unwrap_or("-");
        let cpus = &node.description.capacity["cpu"].0;
        tracing::info!(
            node = node.name,
            partition,
            cpus,
            runtime = node.site.runtime,
            "offering"
        );
    }

    let mut descriptions = Vec::new();
    let mut keepers = Vec::new();
    let link = cluster.remote().link();
    for (session, node) in sessions.iter().zip(&nodes) {
        let (sender, receiver) = watch::channel(node.described(&link.borrow(), &target));
        descriptions.push(sender);
        keepers.push(NodeKeeper::start(session.clone(), receiver, stop.clone()));
    }
    let keepers = try_join_all(keepers).await.context("failed to register the node")?;
    for node in &nodes {
        tracing::info!(node = node.name, "ready");
    }

    let hands = Hands {
        references: ReferenceReader::new(&sessions),
        recorder: Recorder::new(stop.clone()),
        cluster: cluster.clone(),
        nodes: Arc::new(nodes.clone()),
        sessions: Arc::new(sessions.clone()),
        metrics: metrics.clone(),
    };
    let desired = Desired::start(sessions, stop.clone());
    let pace = Pace::new(settings.look_interval, settings.queue_interval);
    let worker = tokio::spawn(Reconcile::new(hands, desired, pace, shown).run(stop.clone()));
    let (images, prepared) = watch::channel(None);
    tokio::spawn(images::keep(
        cluster.clone(),
        settings.common.runtime,
        settings.images,
        images,
        stop.clone(),
    ));
    let teller = tokio::spawn(tell(cluster, nodes, descriptions, target, metrics, prepared, stop));

    Ok(Started {
        keepers,
        worker,
        teller,
    })
}

/// Whom the agent's directory belongs to: a Kubernetes cluster, known by its CA, since its address differs from where one looks.
fn owner(session: &Session) -> String {
    let Some(pem) = session.ca_pem() else {
        return format!("towline node at {}", session.server());
    };
    let letters: Vec<u8> = pem.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digest = Sha256::digest(letters);
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("towline node of the Kubernetes cluster with the CA {short}")
}

/// Connects, again and again while it is only the network's fault.
async fn connect(settings: &Settings) -> anyhow::Result<Cluster> {
    let mut pause = Duration::from_secs(1);
    loop {
        match Cluster::connect(settings.remote.clone(), settings.cluster.clone()).await {
            Ok(cluster) => return Ok(cluster),
            Err(error) if error.is_permanent() => {
                return Err(anyhow::Error::new(error).context("the cluster cannot be used"));
            }
            Err(error) => tracing::warn!(%error, retry_s = pause.as_secs(), "failed to connect to the cluster"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

/// The address of this machine from which the API server is reached: what the API server can most likely reach as well.
async fn own_address(server: &str) -> anyhow::Result<String> {
    let url: http::Uri = server
        .parse()
        .with_context(|| format!("{server} is no address of an API server"))?;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_u16().unwrap_or(443);
    let find = async {
        let to = tokio::net::lookup_host((host.as_str(), port)).await?.next();
        let to = to.ok_or_else(|| std::io::Error::other("the name has no address"))?;
        let from = if to.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
        // Nothing is sent: connecting a datagram socket only chooses the way.
        let socket = tokio::net::UdpSocket::bind(from).await?;
        socket.connect(to).await?;
        socket.local_addr()
    };
    let found = find
        .await
        .with_context(|| format!("failed to find this machine's address towards {server}: set --address"))?;
    Ok(found.ip().to_string())
}

/// Tells the nodes' keepers and the metrics how the link is, and the keepers which images are prepared.
async fn tell(
    cluster: Cluster,
    nodes: Vec<NodeSite>,
    descriptions: Vec<watch::Sender<NodeDescription>>,
    target: String,
    metrics: Arc<Metrics>,
    mut prepared: watch::Receiver<Option<Vec<ContainerImage>>>,
    stop: CancellationToken,
) {
    let mut link = cluster.remote().link();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = link.changed() => {
                if changed.is_err() {
                    return;
                }
                let state = link.borrow();
                tracing::info!(?state, "the link to the cluster has changed");
                metrics.link(matches!(*state, LinkState::Idle | LinkState::Up { .. }));
            }
            // (Nobody looks after images any more when everything is told to end.)
            changed = prepared.changed() => if changed.is_err() { return },
        }
        let state = link.borrow_and_update().clone();
        let images = prepared.borrow_and_update().clone();
        for (node, sender) in nodes.iter().zip(&descriptions) {
            let mut description = node.described(&state, &target);
            description.images.clone_from(&images);
            sender.send_replace(description);
        }
    }
}
