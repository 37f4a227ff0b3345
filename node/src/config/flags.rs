//! What can be said on the command line, for `towline node` and `towline config` alike.

use clap::Args;

const HELP: &str = "Each flag has an environment variable: --ssh-config is TOWLINE_SSH_CONFIG, TARGET is TOWLINE_TARGET; \
lists have spaces between their items. The command line is stronger than the environment, and that than the file.";

/// The flags of the configuration. The environment stands in for each of them: `TOWLINE_SSH_CONFIG` for `--ssh-config`.
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true, after_help = HELP)]
pub struct Flags {
    /// The login node: user@host:port, or an alias of the SSH configuration
    pub target: Option<String>,
    /// A configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<String>,
    /// The name of the node; with several partitions, its beginning
    #[arg(long)]
    pub name: Option<String>,
    /// A kubeconfig
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// The context of the kubeconfig
    #[arg(long)]
    pub context: Option<String>,
    /// A kubeconfig with a bootstrap token, to ask for the node's own certificate
    #[arg(long, value_name = "FILE")]
    pub bootstrap_kubeconfig: Option<String>,
    /// Where keys and certificates are kept
    #[arg(long, value_name = "DIRECTORY")]
    pub state_dir: Option<String>,
    /// A registry that speaks plain HTTP
    #[arg(long, value_name = "HOST")]
    pub plain_http: Vec<String>,
    /// The IP address at which the API server reaches this machine
    #[arg(long, value_name = "IP")]
    pub address: Option<String>,
    /// The port of the kubelet endpoint
    #[arg(long)]
    pub port: Option<String>,
    /// An SSH configuration in place of the user's
    #[arg(long, value_name = "FILE")]
    pub ssh_config: Option<String>,
    /// A private key
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<String>,
    /// Accept the key of a host that is not known yet
    #[arg(long)]
    pub accept_new_host_key: bool,
    /// No taint on the node: any pod may come to it
    #[arg(long, conflicts_with = "taint")]
    pub no_taint: bool,
    /// The partition (queue) of the node; given several times, a node for each
    #[arg(long, value_name = "NAME")]
    pub partition: Vec<String>,
    /// The account (project) that pays
    #[arg(long)]
    pub account: Option<String>,
    /// The quality of service
    #[arg(long)]
    pub qos: Option<String>,
    /// The container runtime: apptainer, none, auto, …
    #[arg(long)]
    pub runtime: Option<String>,
    /// The batch system: slurm, host, auto, …
    #[arg(long)]
    pub batch: Option<String>,
    /// A directory with batch systems and container runtimes of your own
    #[arg(long, value_name = "DIRECTORY")]
    pub scripts: Option<String>,
    /// The directory on the cluster that holds everything
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<String>,
    /// A label of the node
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Vec<String>,
    /// A taint of the node in place of Towline's own
    #[arg(long, value_name = "KEY[=VALUE]:EFFECT")]
    pub taint: Vec<String>,
}

impl Flags {
    /// What was said, by flag; what was not said is left out. `--config` is not a part of the configuration.
    pub(super) fn given(&self) -> Vec<(&'static str, Vec<String>)> {
        let one = |flag, value: &Option<String>| (flag, value.iter().cloned().collect());
        let switch = |flag, on: bool| (flag, on.then(|| "true".to_owned()).into_iter().collect());
        let mut given: Vec<(&'static str, Vec<String>)> = vec![
            one(TARGET, &self.target),
            one("name", &self.name),
            one("kubeconfig", &self.kubeconfig),
            one("context", &self.context),
            one("bootstrap-kubeconfig", &self.bootstrap_kubeconfig),
            one("state-dir", &self.state_dir),
            ("plain-http", self.plain_http.clone()),
            one("address", &self.address),
            one("port", &self.port),
            one("ssh-config", &self.ssh_config),
            ("identity", self.identity.clone()),
            switch("accept-new-host-key", self.accept_new_host_key),
            switch("no-taint", self.no_taint),
            ("partition", self.partition.clone()),
            one("account", &self.account),
            one("qos", &self.qos),
            one("runtime", &self.runtime),
            one("batch", &self.batch),
            one("scripts", &self.scripts),
            one("root", &self.root),
            ("label", self.label.clone()),
            ("taint", self.taint.clone()),
        ];
        given.retain(|(_, values)| !values.is_empty());
        given
    }
}

/// The name of the argument that is not a flag.
pub(super) const TARGET: &str = "target";

/// Where each flag, and the environment variable that goes with it, has its place in the configuration.
pub(super) const PLACES: [(&str, Meaning); 22] = [
    (TARGET, Meaning::Key("target")),
    ("name", Meaning::Name),
    ("kubeconfig", Meaning::Key("kubernetes.kubeconfig")),
    ("context", Meaning::Key("kubernetes.context")),
    ("bootstrap-kubeconfig", Meaning::Key("kubernetes.bootstrapKubeconfig")),
    ("state-dir", Meaning::Key("kubernetes.stateDir")),
    ("plain-http", Meaning::Key("images.plainHTTP")),
    ("address", Meaning::Key("kubelet.address")),
    ("port", Meaning::Key("kubelet.port")),
    ("ssh-config", Meaning::Key("ssh.configFile")),
    ("identity", Meaning::Key("ssh.identityFiles")),
    ("accept-new-host-key", Meaning::Key("ssh.acceptNewHostKey")),
    ("no-taint", Meaning::NoTaint),
    ("partition", Meaning::Partitions),
    ("account", Meaning::EachNode("account")),
    ("qos", Meaning::EachNode("qos")),
    ("runtime", Meaning::Key("cluster.runtime")),
    ("batch", Meaning::Key("cluster.batch")),
    ("scripts", Meaning::Key("cluster.scripts")),
    ("root", Meaning::Key("cluster.root")),
    ("label", Meaning::Labels),
    ("taint", Meaning::Taints),
];

/// What a flag means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The value of a key.
    Key(&'static str),
    /// The value of a key of each node, whatever the file says about it.
    EachNode(&'static str),
    /// The name of the one node, or the beginning of the names of several.
    Name,
    /// A node for each value, in place of those of the file.
    Partitions,
    /// `KEY=VALUE`, for each node.
    Labels,
    /// `KEY[=VALUE]:EFFECT`, for each node.
    Taints,
    /// No taint on any node.
    NoTaint,
}

/// The environment variable that goes with a flag.
pub(super) fn variable(flag: &str) -> String {
    format!("TOWLINE_{}", flag.to_uppercase().replace('-', "_"))
}
