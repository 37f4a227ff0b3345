//! The administrator's side of the tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, Node, NodeAddress, NodeSystemInfo, Pod, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use towline_apiserver::node::{NodeConditionSpec, NodeDescription};
use towline_apiserver::{Credentials, Session};

/// Waits until a look gives something, a minute at most.
pub async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("within a minute: {what}")
}

pub struct Cluster {
    pub admin: Client,
    pub state: tempfile::TempDir,
    /// A name of this test alone.
    pub name: String,
}

impl Cluster {
    pub async fn new(test: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = tempfile::tempdir().unwrap();
        let unique: String = state
            .path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        Self {
            admin: Client::try_default()
                .await
                .expect("KUBECONFIG must lead to an API server"),
            name: format!("{test}-{}", unique.to_lowercase()),
            state,
        }
    }

    pub fn bootstrap(&self) -> Credentials {
        let path = std::env::var("TESTBED_BOOTSTRAP_KUBECONFIG").expect("TESTBED_BOOTSTRAP_KUBECONFIG");
        Credentials::Bootstrap {
            kubeconfig: PathBuf::from(path),
        }
    }

    pub async fn session(&self) -> Session {
        self.session_in(self.state.path()).await
    }

    pub async fn session_in(&self, state: &Path) -> Session {
        let credentials = self.bootstrap();
        let connecting = Session::connect(&self.name, &credentials, state);
        tokio::time::timeout(Duration::from_secs(60), connecting)
            .await
            .expect("the certificate must be signed")
            .unwrap()
    }

    pub fn nodes(&self) -> Api<Node> {
        Api::all(self.admin.clone())
    }

    pub async fn node(&self) -> Node {
        self.nodes().get(&self.name).await.unwrap()
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.admin.clone(), &self.name)
    }

    /// Makes the test's namespace and waits for its ServiceAccount, which admission needs.
    pub async fn namespace(&self) {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(self.name.clone());
        Api::<Namespace>::all(self.admin.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> = Api::namespaced(self.admin.clone(), &self.name);
        eventually("the default ServiceAccount", async || {
            accounts.get_opt("default").await.unwrap()
        })
        .await;
    }

    /// Makes a pod that is bound to the test's node already.
    pub async fn bound_pod(&self, name: &str, spec: Value) -> Pod {
        let mut spec = spec;
        spec["nodeName"] = json!(self.name);
        let pod = json!({"metadata": {"name": name}, "spec": spec});
        self.pods()
            .create(&PostParams::default(), &serde_json::from_value(pod).unwrap())
            .await
            .unwrap()
    }

    /// Removes what the test made.
    pub async fn clean(self) {
        let now = DeleteParams::default().grace_period(0);
        for pod in self
            .pods()
            .list(&kube::api::ListParams::default())
            .await
            .into_iter()
            .flatten()
        {
            let _ = self.pods().delete(&pod.metadata.name.unwrap(), &now).await;
        }
        let _ = Api::<Namespace>::all(self.admin.clone())
            .delete(&self.name, &DeleteParams::default())
            .await;
        let _ = self.nodes().delete(&self.name, &DeleteParams::default()).await;
    }
}

pub fn taint(key: &str) -> Taint {
    Taint {
        key: key.to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    }
}

pub fn description(name: &str) -> NodeDescription {
    let text = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    };
    let resources: BTreeMap<String, Quantity> = text(&[
        ("cpu", "8"),
        ("memory", "2048Mi"),
        ("pods", "110"),
        ("nvidia.com/gpu", "2"),
    ])
    .into_iter()
    .map(|(key, value)| (key, Quantity(value)))
    .collect();
    NodeDescription {
        labels: text(&[
            ("kubernetes.io/hostname", name),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("type", "virtual-kubelet"),
            ("node.kubernetes.io/exclude-from-external-load-balancers", ""),
        ]),
        taints: vec![taint("towline.dev/node")],
        annotations: text(&[("towline.dev/partition", "main")]),
        capacity: resources.clone(),
        allocatable: resources,
        addresses: vec![
            NodeAddress {
                type_: "InternalIP".to_owned(),
                address: "127.0.0.1".to_owned(),
            },
            NodeAddress {
                type_: "InternalIP".to_owned(),
                address: "127.0.0.2".to_owned(),
            },
        ],
        kubelet_port: 10250,
        node_info: NodeSystemInfo {
            architecture: "amd64".to_owned(),
            kubelet_version: "v1.36.0".to_owned(),
            operating_system: "linux".to_owned(),
            ..NodeSystemInfo::default()
        },
        conditions: vec![link("True")],
        ..NodeDescription::default()
    }
}

pub fn link(status: &str) -> NodeConditionSpec {
    NodeConditionSpec {
        type_: "ClusterReachable".to_owned(),
        status: status.to_owned(),
        reason: "Link".to_owned(),
        message: "for the test".to_owned(),
    }
}

/// The status of a condition.
pub fn condition<'a>(node: &'a Node, type_: &str) -> Option<&'a str> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    Some(
        conditions
            .iter()
            .find(|condition| condition.type_ == type_)?
            .status
            .as_str(),
    )
}

pub fn has_taint(node: &Node, key: &str) -> bool {
    node.spec
        .iter()
        .flat_map(|spec| spec.taints.iter().flatten())
        .any(|taint| taint.key == key)
}
