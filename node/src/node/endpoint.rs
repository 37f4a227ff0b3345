//! The kubelet endpoint of each node: where it listens, what it shows, and which pods it knows.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use k8s_openapi::api::core::v1::{NodeAddress, Pod};
use tokio_util::sync::CancellationToken;
use towline_apiserver::Session;
use towline_apiserver::identity::{client_ca, serving};
use towline_apiserver::pods::BoundPod;
use towline_cluster::Cluster;
use towline_kubelet_api::{Following, Options, Pods, Serving, serve};

use super::counted::Counted;
use super::metrics::Metrics;
use super::reconcile::Shown;
use super::sessions::ClusterSessions;
use super::start::KubeletSettings;
use super::usage::{NodeMeters, Usages};

/// What the endpoints of all nodes share.
#[derive(Clone)]
pub struct Shared {
    /// The pods as the loop knows them.
    pub shown: Arc<Shown>,
    /// Where they run.
    pub cluster: Cluster,
    /// What they use.
    pub usages: Arc<Usages>,
    /// What is shown at `/metrics`.
    pub metrics: Arc<Metrics>,
}

/// The pods of one node as the loop knows them.
struct NodePods {
    shown: Arc<Shown>,
    session: usize,
}

impl NodePods {
    fn ours(&self, bound: &BoundPod) -> bool {
        bound.session == self.session
    }
}

impl Pods for NodePods {
    fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let pods = self.shown.load();
        let mut found = pods.values().filter(|bound| self.ours(bound)).map(|bound| &bound.pod);
        found
            .find(|pod| {
                pod.metadata.namespace.as_deref() == Some(namespace) && pod.metadata.name.as_deref() == Some(name)
            })
            .cloned()
    }

    fn all(&self) -> Vec<Arc<Pod>> {
        let pods = self.shown.load();
        pods.values()
            .filter(|bound| self.ours(bound))
            .map(|bound| bound.pod.clone())
            .collect()
    }
}

/// The address of the node of the cluster on which a pod runs: the pod's own. (`hostIP` is that of the virtual node.)
fn address_of(shown: &Shown, uid: &str) -> Option<String> {
    let pods = shown.load();
    let mut found = pods.values().map(|bound| &bound.pod);
    let pod = found.find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
    pod.status.as_ref()?.pod_ip.clone()
}

/// Opens the endpoint of node number `n`: the first on the configured port, each further one on the next.
///
/// # Errors
/// The port is taken, or a certificate cannot be used.
pub async fn open(
    n: usize,
    session: &Session,
    addresses: &[NodeAddress],
    settings: &KubeletSettings,
    shared: Shared,
    stop: CancellationToken,
) -> anyhow::Result<Serving> {
    let port = match settings.port {
        0 => 0,
        first => first
            .checked_add(u16::try_from(n)?)
            .context("there is no port left for the kubelet endpoint")?,
    };
    let certificate = serving(session, &settings.serving, addresses, stop.clone()).await?;
    let client_ca = match client_ca(session, settings.client_ca_file.as_deref()).await {
        Ok(found) => {
            tracing::debug!(source = found.source, "the CA of client certificates");
            Some(found.pem)
        }
        Err(error) if settings.client_ca_file.is_none() => {
            tracing::warn!(%error, "no CA of client certificates is known: only tokens are accepted");
            None
        }
        Err(error) => return Err(error.into()),
    };
    // A control plane on this very machine needs nobody else to be let in.
    let own = addresses
        .iter()
        .find_map(|address| address.address.parse::<IpAddr>().ok());
    let listen = match own {
        Some(address) if address.is_loopback() => address,
        Some(IpAddr::V6(_)) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        _ => Ipv4Addr::UNSPECIFIED.into(),
    };
    let Shared {
        shown,
        cluster,
        usages,
        metrics,
    } = shared;
    let sessions = ClusterSessions {
        cluster: cluster.clone(),
        address: Box::new({
            let shown = Arc::clone(&shown);
            move |uid| address_of(&shown, uid)
        }),
    };
    let sessions = Counted {
        inner: sessions,
        metrics: Arc::clone(&metrics),
    };
    let logs = Counted {
        inner: Following::new(cluster),
        metrics,
    };
    let options = Options {
        listen: SocketAddr::new(listen, port),
        certificate,
        client_ca,
        session: session.clone(),
        sessions: Arc::new(sessions),
        meters: Arc::new(NodeMeters::new(usages, n)),
    };
    let pods = Arc::new(NodePods { shown, session: n });
    let opened = serve(options, pods, Arc::new(logs), stop).await;
    opened.with_context(|| format!("failed to open the kubelet endpoint of {}", session.node()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pods_ports_are_on_the_node_that_it_runs_on() {
        let shown = Shown::default();
        let pod = |uid: &str, status| {
            let pod = json!({"metadata": {"uid": uid}, "status": status});
            let bound = BoundPod {
                session: 0,
                pod: Arc::new(serde_json::from_value(pod).unwrap()),
            };
            (uid.to_owned(), bound)
        };
        // The virtual node's own address leads to this very machine, or nowhere.
        let pods = [
            pod("runs", json!({"hostIP": "192.0.2.1", "podIP": "10.0.0.7"})),
            pod("waits", json!({"hostIP": "192.0.2.1"})),
        ];
        shown.store(Arc::new(pods.into()));
        assert_eq!(address_of(&shown, "runs").as_deref(), Some("10.0.0.7"));
        assert_eq!(address_of(&shown, "waits"), None);
        assert_eq!(address_of(&shown, "unknown"), None);
    }
}
