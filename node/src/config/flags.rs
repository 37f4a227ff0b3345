//! What can be said on the command line, for `towline node` and `towline config` alike.

use clap::Args;

/// Each of them can also be given as an environment variable: `--ssh-config` as `TOWLINE_SSH_CONFIG`.
#[derive(Debug, Clone, Default, Args)]
#[command(args_override_self = true)]
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
    pub port: Option<u16>,
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
