//! The configuration as the node's own settings: the one place where both are known.

use std::sync::Arc;

use anyhow::Context;
use towline_apiserver::Credentials;
use towline_apiserver::identity::Serving;
use towline_ssh::{Prompt, Ssh};

use super::site::{Common, NodeSettings};
use super::start::{KubeletSettings, Settings};
use crate::config::{self, Config, Kubernetes, Mistakes, Node};

impl Settings {
    /// Reads a configuration. Connects to nothing yet.
    ///
    /// # Errors
    /// No target, or a target and credentials that contradict each other.
    pub fn new(config: &Config, prompt: Option<Arc<dyn Prompt>>) -> anyhow::Result<Self> {
        let target = config.target.clone().context(
            "there is no target: say user@host, or an alias of the SSH configuration, as `towline node TARGET` or as `target` in the configuration",
        )?;
        let ssh = Ssh::new(towline_ssh::Options {
            target,
            config_file: config.ssh.config_file.clone(),
            identity_files: config.ssh.identity_files.clone(),
            known_hosts_files: config.ssh.known_hosts_files.clone(),
            accept_new_host_key: config.ssh.accept_new_host_key,
            prompt,
            connect_timeout: config.ssh.connect_timeout.map(|timeout| timeout.get()),
            max_bulk_connections: usize::from(config.ssh.stream_connections),
            ..towline_ssh::Options::default()
        })?;
        let mut cluster = towline_cluster::Options::new(config.cluster.agent.clone(), String::new());
        cluster.root = Some(config.cluster.root.clone());
        cluster.batch = config.cluster.batch().map(str::to_owned);
        cluster.scripts = cluster.scripts.with_site(config.cluster.scripts.as_deref())?;
        Ok(Self {
            remote: Arc::new(ssh),
            cluster,
            runtime: config.cluster.runtime().map(str::to_owned),
            credentials: credentials(&config.kubernetes)?,
            state_dir: config.kubernetes.state_dir.clone(),
            common: Common {
                image_rewrites: config.images.rewrites.iter().map(Into::into).collect(),
                plain_http: config.images.plain_http.clone(),
                image_format: config.cluster.image_format.as_str().to_owned(),
                pull_stall_s: config.images.pull_progress_deadline.get().as_secs(),
                ..Common::default()
            },
            nodes: config.nodes.iter().map(node).collect(),
            kubelet: KubeletSettings {
                address: config.kubelet.address.map(|address| address.to_string()),
                port: config.kubelet.port,
                serving: serving(config)?,
                client_ca_file: config.kubernetes.client_ca_file.clone(),
            },
            images: config.images.limits(),
            look_interval: config.cluster.look_interval.get(),
            queue_interval: config.cluster.queue_interval.get(),
        })
    }
}

fn credentials(kubernetes: &Kubernetes) -> anyhow::Result<Credentials> {
    Ok(match kubernetes.identity().map_err(unusable)? {
        config::Identity::Bootstrap(kubeconfig) => Credentials::Bootstrap {
            kubeconfig: kubeconfig.to_owned(),
        },
        config::Identity::Certificate {
            kubeconfig,
            certificate,
            key,
        } => Credentials::NodeCertificate {
            kubeconfig: kubeconfig.to_owned(),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
        config::Identity::Own => {
            let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
            let own = std::env::var_os("KUBECONFIG").is_some()
                || std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists());
            if kubernetes.kubeconfig.is_none() && !own && in_pod {
                Credentials::InCluster
            } else {
                Credentials::Kubeconfig {
                    path: kubernetes.kubeconfig.clone(),
                    context: kubernetes.context.clone(),
                }
            }
        }
    })
}

fn serving(config: &Config) -> anyhow::Result<Serving> {
    Ok(match config.kubelet.serving().map_err(unusable)? {
        config::Serving::Csr => Serving::Csr,
        config::Serving::SelfSigned => Serving::SelfSigned,
        config::Serving::Files { certificate, key } => Serving::Files {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        },
    })
}

/// What has been said with its place when the configuration was read.
fn unusable(mistakes: Mistakes) -> anyhow::Error {
    let all: Vec<String> = mistakes.into_iter().map(|(key, why)| format!("{key}: {why}")).collect();
    anyhow::anyhow!("the configuration cannot be used: {}", all.join("; "))
}

fn node(node: &Node) -> NodeSettings {
    NodeSettings {
        name: node.name.clone(),
        partition: node.partition.clone(),
        account: node.account.clone(),
        qos: node.qos.clone(),
        labels: node.labels.clone(),
        annotations: node.annotations.clone(),
        taints: node
            .taints
            .as_ref()
            .map(|taints| taints.iter().map(Into::into).collect()),
        address: node.address.map(|address| address.to_string()),
        port: node.port,
        max_pods: node.max_pods.map(u64::from),
        capacity: node
            .capacity
            .iter()
            .map(|(name, quantity)| {
                let quantity = k8s_openapi::apimachinery::pkg::api::resource::Quantity(quantity.as_str().to_owned());
                (name.clone(), quantity)
            })
            .collect(),
        gpu_resource: node.gpu_resource.as_str().to_owned(),
        gpu_type: node.gpu_type.clone(),
        default_cpus: Some(node.defaults.cpu.whole()),
        default_memory_mb: Some(node.defaults.memory.mib()),
        default_walltime_s: node.defaults.walltime.map(|walltime| walltime.get().as_secs()),
        max_walltime_s: node.max_walltime.map(|walltime| walltime.get().as_secs()),
        policy: node.policy(),
    }
}
