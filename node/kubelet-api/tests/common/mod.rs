//! A node's kubelet API on this machine, with everything around it.
#![allow(dead_code, reason = "each test file uses its part")]

pub mod api;
pub mod client;
pub mod logs;
pub mod meters;
pub mod pki;
pub mod sessions;
pub mod spdy;
pub mod websocket;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use k8s_openapi::api::core::v1::Pod;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use towline_apiserver::{Credentials, Session};
use towline_kubelet_api::{Error, LogSource, Meters, Options, Pods, Serving, Sessions, serve};

use api::Api;
use client::Client;
use meters::Read;
use pki::{Ca, Identity};
use sessions::Here;

/// The node's name.
pub const NODE: &str = "hpc";

/// Something that is open, counted for as long as it is.
pub struct Counted(watch::Sender<usize>);

impl Counted {
    pub fn new(count: watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// Pods that a test puts there.
#[derive(Default)]
pub struct Known(Mutex<BTreeMap<(String, String), Arc<Pod>>>);

impl Known {
    pub fn put(&self, pod: Pod) {
        let name = |name: &Option<String>| name.clone().unwrap();
        let key = (name(&pod.metadata.namespace), name(&pod.metadata.name));
        self.0.lock().unwrap().insert(key, Arc::new(pod));
    }
}

impl Pods for Known {
    fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        self.0
            .lock()
            .unwrap()
            .get(&(namespace.to_owned(), name.to_owned()))
            .cloned()
    }
    fn all(&self) -> Vec<Arc<Pod>> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}

/// A server with an API server behind it, and the CAs that both sides know.
pub struct Node {
    pub api: Api,
    pub pods: Arc<Known>,
    pub serving: Serving,
    pub cancel: CancellationToken,
    pub clients: Ca,
    pub here: Arc<Here>,
    pub meters: Arc<Read>,
    servers: Ca,
    _state: TempDir,
}

impl Node {
    /// With a client CA.
    pub async fn start(logs: Arc<dyn LogSource>) -> Self {
        let clients = Ca::new("clients");
        let pem = clients.pem();
        Self::start_with(logs, clients, Some(pem.into_bytes())).await.unwrap()
    }

    pub async fn start_with(logs: Arc<dyn LogSource>, clients: Ca, client_ca: Option<Vec<u8>>) -> Result<Self, Error> {
        let api = Api::start().await;
        let state = tempfile::tempdir().unwrap();
        let servers = Ca::new("servers");
        let here = Here::new();
        let meters = Arc::new(Read::default());
        let options = Options {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: servers.server_certificate(),
            client_ca,
            session: session(&api, &state).await,
            sessions: Arc::clone(&here) as Arc<dyn Sessions>,
            meters: Arc::clone(&meters) as Arc<dyn Meters>,
        };
        let pods = Arc::new(Known::default());
        let cancel = CancellationToken::new();
        let serving = serve(options, Arc::clone(&pods) as Arc<dyn Pods>, logs, cancel.clone()).await?;
        Ok(Self {
            api,
            pods,
            serving,
            cancel,
            clients,
            here,
            meters,
            servers,
            _state: state,
        })
    }

    /// With the pod `ns/p`: `c` runs, `t` has a terminal, `w` waits; and with the API server as its client.
    pub async fn with_pod() -> (Self, Client) {
        let node = Self::start(logs::none()).await;
        let status = |name: &str, state: &str| {
            serde_json::json!({
                "name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {state: {}},
            })
        };
        node.pods.put(
            serde_json::from_value(serde_json::json!({
                "metadata": {"name": "p", "namespace": "ns", "uid": "u-1"},
                "spec": {"containers": [{"name": "c"}, {"name": "t", "tty": true}, {"name": "w"}]},
                "status": {"containerStatuses": [
                    status("c", "running"), status("t", "running"), status("w", "waiting"),
                ]},
            }))
            .unwrap(),
        );
        let client = node.apiserver();
        (node, client)
    }

    /// A client that shows nothing of itself.
    pub fn stranger(&self) -> Client {
        Client::new(self.serving.address, &self.servers, None)
    }

    pub fn with_certificate(&self, identity: Identity) -> Client {
        Client::new(self.serving.address, &self.servers, Some(identity))
    }

    /// The API server as a client: it may do everything.
    pub fn apiserver(&self) -> Client {
        self.api.allow("apiserver", "get", "proxy");
        self.api.allow("apiserver", "create", "proxy");
        self.with_certificate(self.clients.client("apiserver", &["masters"]))
    }
}

async fn session(api: &Api, state: &TempDir) -> Session {
    let path = state.path().join("kubeconfig");
    let kubeconfig = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": format!("http://{}", api.address)}}],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    });
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    let credentials = Credentials::Kubeconfig {
        path: Some(path),
        context: None,
    };
    Session::connect(NODE, &credentials, state.path()).await.unwrap()
}
