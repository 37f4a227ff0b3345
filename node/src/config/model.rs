//! What can be configured: the types are the documentation, the schema and the parser at once.
//!
//! Keys are written as Kubernetes writes them. `x-default` says in words what an absent key means where that is not a
//! value; it stands in the schema, in `docs/configuration.md` and in what `towline config` prints.

use std::net::IpAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use towline_core::images::ImageLimits;
use towline_core::translate::PULL_STALL_S;

use super::node::{Node, NodeDefaults};
use super::values::{Duration, Path, Quantity};

/// The configuration of `towline node`. Every key can be absent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "Towline configuration")]
pub struct Config {
    /// The login node: `user@host:port`, or an alias of the SSH configuration.
    #[schemars(extend("x-default" = "has to be said here or on the command line"))]
    pub target: Option<String>,
    /// How the login node is reached.
    pub ssh: Ssh,
    /// What is used on the cluster.
    pub cluster: Cluster,
    /// Where images come from.
    pub images: Images,
    /// How the API server is reached, and as whom.
    pub kubernetes: Kubernetes,
    /// The endpoint that `kubectl logs` reaches, as a kubelet has one.
    pub kubelet: Kubelet,
    /// What holds for each node that does not say otherwise: the keys of `nodes`, without `name` and `partition`.
    pub node_defaults: NodeDefaults,
    /// The virtual nodes, one for each partition that pods shall run in.
    #[schemars(extend("x-default" = "one node for the cluster's default partition"))]
    pub nodes: Vec<Node>,
}

/// How the login node is reached. What is not said here is taken from the SSH configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Ssh {
    /// An SSH configuration to read instead of the user's and the system's.
    #[schemars(with = "Option<Path>", extend("x-default" = "~/.ssh/config, then /etc/ssh/ssh_config"))]
    pub config_file: Option<PathBuf>,
    /// Private keys to offer before those of the SSH configuration.
    #[schemars(with = "Vec<Path>")]
    pub identity_files: Vec<PathBuf>,
    /// `known_hosts` files to read instead of those of the SSH configuration.
    #[schemars(with = "Vec<Path>")]
    pub known_hosts_files: Vec<PathBuf>,
    /// Accept the key of a host that is not known yet, once, and write it down. A changed key is never accepted.
    pub accept_new_host_key: bool,
    /// How long a connection may take until it is authenticated, for each hop.
    #[schemars(extend("x-default" = "ConnectTimeout of the SSH configuration, else 20s"))]
    pub connect_timeout: Option<Duration>,
    /// How many connections there may be beside the one for short commands, each with up to 8 streams (logs that are
    /// followed, sessions in containers, connections to ports); further streams wait until one of those has ended.
    pub stream_connections: u16,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            config_file: None,
            identity_files: Vec::new(),
            known_hosts_files: Vec::new(),
            accept_new_host_key: false,
            connect_timeout: None,
            stream_connections: 16,
        }
    }
}

/// What is used on the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Cluster {
    /// The name of the directory that remembers this agent's pods on the cluster, and a part of each job's name. Say it
    /// before the first node is renamed or nodes change their order: under another name the pods that run are not found.
    #[schemars(extend("x-default" = "the name of the first node"))]
    pub agent: String,
    /// The directory on the cluster that holds everything; compute nodes must see it under the same path.
    pub root: String,
    /// The batch system: a folder of `remote-scripts/batch/` (`slurm`, or `host` for plain processes on the login node);
    /// `auto` is Slurm where there is an `sbatch`, else `host`.
    pub batch: String,
    /// The container runtime: a script of `remote-scripts/container/` (`apptainer`, or `none`: the command runs as it
    /// is); `auto` is Apptainer where it can be, else `none`.
    pub runtime: String,
    /// A directory of this machine with batch systems and container runtimes of the site's own, beside those of this
    /// program: `batch/NAME/…` and `container/NAME`, as `remote-scripts/README.md` describes them.
    #[schemars(with = "Option<Path>", extend("x-default" = "none"))]
    pub scripts: Option<PathBuf>,
    /// Time between looks at pods that run quietly; while something happens it looks more often.
    pub look_interval: Duration,
    /// Time between queries of the batch system while nothing depends on one.
    pub queue_interval: Duration,
    /// How prepared images are kept: `sandbox` is a directory (starts fast, many small files), `sif` one file (for
    /// file systems that do not like small files).
    pub image_format: ImageFormat,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            agent: String::new(),
            root: "~/.towline".to_owned(),
            batch: AUTO.to_owned(),
            runtime: AUTO.to_owned(),
            scripts: None,
            look_interval: Duration::seconds(2),
            queue_interval: Duration::seconds(30),
            image_format: ImageFormat::Sandbox,
        }
    }
}

/// The value that leaves a choice to what is found on the cluster.
const AUTO: &str = "auto";

impl Cluster {
    /// The batch system that is asked for by name.
    pub fn batch(&self) -> Option<&str> {
        Some(self.batch.as_str()).filter(|name| *name != AUTO)
    }

    /// The container runtime that is asked for by name.
    pub fn runtime(&self) -> Option<&str> {
        Some(self.runtime.as_str()).filter(|name| *name != AUTO)
    }
}

/// How prepared images are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum ImageFormat {
    // Comments and not documentation: with documented variants the schema is a choice of constants instead of an `enum`.
    // A directory.
    Sandbox,
    // One file.
    Sif,
}

impl ImageFormat {
    /// The word of the remote scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Sif => "sif",
        }
    }
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Images {
    /// Remove a prepared image that no pod needs and that was not used for so long.
    pub max_age: Duration,
    /// When the prepared images take more than this on the cluster, those that no pod needs are removed, the ones unused
    /// longest first.
    #[schemars(extend("x-default" = "no limit"))]
    pub max_size: Option<Quantity>,
    /// What they may take afterwards.
    #[schemars(extend("x-default" = "80 % of maxSize"))]
    pub reduced_size: Option<Quantity>,
    /// A pull of which nothing has come for so long is given up, and tried again later.
    pub pull_progress_deadline: Duration,
    /// Rewrite rules; the first whose `from` fits is used.
    pub rewrites: Vec<Rewrite>,
    /// Registries that are spoken to without TLS: `host` or `host:port`, as compute nodes see them.
    #[serde(rename = "plainHTTP")]
    pub plain_http: Vec<String>,
}

impl Default for Images {
    fn default() -> Self {
        Self {
            max_age: Duration::seconds(30 * 86_400),
            max_size: None,
            reduced_size: None,
            pull_progress_deadline: Duration::seconds(PULL_STALL_S),
            rewrites: Vec::new(),
            plain_http: Vec::new(),
        }
    }
}

impl Images {
    /// When prepared images are removed.
    pub fn limits(&self) -> ImageLimits {
        let max_mb = self.max_size.as_ref().map(Quantity::mib);
        ImageLimits {
            max_age_s: Some(self.max_age.get().as_secs()),
            max_mb,
            reduced_mb: max_mb.map(|max| self.reduced_size.as_ref().map_or(max / 5 * 4, Quantity::mib)),
        }
    }
}

/// A rewrite rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rewrite {
    /// The beginning of a fully qualified image reference, for example `docker.io/`.
    pub from: String,
    /// What replaces it, for example `registry.example.org/mirror/`.
    pub to: String,
    /// What replaces it where `to` gives no image, tried in this order; `docker.io/` may be among them, or a directory.
    /// A pod's imagePullSecrets are used for each of them that they name.
    #[serde(default)]
    pub mirrors: Vec<String>,
}

impl From<&Rewrite> for towline_core::translate::ImageRewrite {
    fn from(rule: &Rewrite) -> Self {
        Self {
            from: rule.from.clone(),
            to: rule.to.clone(),
            mirrors: rule.mirrors.clone(),
        }
    }
}

/// How the API server is reached, and as whom. Without any key: `$KUBECONFIG`, else `~/.kube/config`, else the
/// ServiceAccount of the pod that Towline runs in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Kubernetes {
    /// A kubeconfig as kubectl uses it.
    #[schemars(
        with = "Option<Path>",
        extend("x-default" = "$KUBECONFIG, else ~/.kube/config, else the ServiceAccount of the pod that Towline runs in")
    )]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[schemars(extend("x-default" = "the kubeconfig's current context"))]
    pub context: Option<String>,
    /// A kubeconfig with a bootstrap token. It is used to ask for each node's own client certificate
    /// (`system:node:NAME`), which is kept in `stateDir` and renewed in time.
    #[schemars(with = "Option<Path>", extend("x-default" = "none"))]
    pub bootstrap_kubeconfig: Option<PathBuf>,
    /// A node's own client certificate (PEM), read again when it changes. Server and CA come from the kubeconfig.
    #[schemars(with = "Option<Path>", extend("x-default" = "none"))]
    pub client_certificate: Option<PathBuf>,
    /// The private key (PEM) of `clientCertificate`.
    #[schemars(with = "Option<Path>", extend("x-default" = "none"))]
    pub client_key: Option<PathBuf>,
    /// Where private keys and certificates are kept, readable by the user alone.
    #[schemars(with = "Path", extend("x-default" = "$XDG_STATE_HOME/towline, else ~/.local/state/towline"))]
    pub state_dir: PathBuf,
    /// The CA (PEM) of client certificates that the kubelet endpoint takes.
    #[serde(rename = "clientCAFile")]
    #[schemars(
        with = "Option<Path>",
        extend("x-default" = "the ConfigMap kube-system/extension-apiserver-authentication, else the API server's CA")
    )]
    pub client_ca_file: Option<PathBuf>,
}

/// The endpoint that `kubectl logs` reaches. It is always authenticated and authorized by the API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Kubelet {
    /// The IP address at which the API server reaches the endpoint.
    #[schemars(
        with = "Option<String>",
        extend("format" = "ip", "x-default" = "the address of this machine towards the API server")
    )]
    pub address: Option<IpAddr>,
    /// The port of the endpoint. 0 is any free one.
    pub port: u16,
    /// Where the endpoint's certificate comes from: `csr` asks the cluster to sign one
    /// (`kubernetes.io/kubelet-serving`; somebody has to approve it, a self-signed one serves until then), `selfSigned`
    /// is signed by nobody, `files` are `certificateFile` and `keyFile`.
    pub serving_certificate: ServingCertificate,
    /// The certificate (PEM) for `servingCertificate: files`, read again when it changes.
    #[schemars(with = "Option<Path>", extend("x-default" = "none"))]
    pub certificate_file: Option<PathBuf>,
    /// The private key (PEM) of `certificateFile`.
    #[schemars(with = "Option<Path>", extend("x-default" = "none"))]
    pub key_file: Option<PathBuf>,
}

impl Default for Kubelet {
    fn default() -> Self {
        Self {
            address: None,
            port: 10250,
            serving_certificate: ServingCertificate::Csr,
            certificate_file: None,
            key_file: None,
        }
    }
}

/// Where the endpoint's certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum ServingCertificate {
    // As for ImageFormat.
    // The cluster signs it.
    Csr,
    // Nobody signs it.
    SelfSigned,
    // It lies in files.
    Files,
}
