//! Which cluster, and how to get there: the options that the commands share.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use towline_cluster::{Cluster, Options, Scripts};
use towline_ssh::{Local, Remote, Ssh};

use super::prompt;

/// Whom the directory of these commands' agent belongs to: whoever has the account.
const OWNER: &str = "towline run";

/// The word for this machine where a target is expected.
const HERE: &str = "local";

#[derive(Debug, Args)]
pub struct Connection {
    /// The cluster's login node: user@host:port, or an alias of the SSH configuration; `local` is this machine
    /// [env: TOWLINE_TARGET]
    #[arg(
        short,
        long = "target",
        id = "to",
        value_name = "TARGET",
        value_parser = NonEmptyStringValueParser::new(),
        help_heading = "Connection"
    )]
    target: Option<String>,
    /// An SSH configuration in place of the user's
    #[arg(long, value_name = "FILE", env = "TOWLINE_SSH_CONFIG", help_heading = "Connection")]
    ssh_config: Option<PathBuf>,
    /// A private key
    #[arg(
        long,
        value_name = "FILE",
        env = "TOWLINE_IDENTITY",
        value_delimiter = ',',
        help_heading = "Connection"
    )]
    identity: Vec<PathBuf>,
    /// Accept the key of a host that is not known yet
    #[arg(long, env = "TOWLINE_ACCEPT_NEW_HOST_KEY", help_heading = "Connection")]
    accept_new_host_key: bool,
    /// The directory on the cluster that holds everything [default: ~/.towline]
    #[arg(long, value_name = "DIRECTORY", env = "TOWLINE_ROOT", help_heading = "Connection")]
    root: Option<String>,
    /// The batch system: slurm, host [default: slurm where there is sbatch; host without a target]
    #[arg(long, value_name = "NAME", env = "TOWLINE_BATCH", help_heading = "Connection")]
    batch: Option<String>,
    /// A directory of this machine with batch systems and container runtimes of your own: batch/NAME/…, container/NAME
    #[arg(long, value_name = "DIRECTORY", env = "TOWLINE_SCRIPTS", help_heading = "Connection")]
    scripts: Option<PathBuf>,
    /// The agent's name on the cluster
    #[arg(long, value_name = "NAME", default_value = "run", help_heading = "Connection")]
    agent: String,
}

/// A host, and the link to it when it is one over SSH.
pub type Host = (Arc<dyn Remote>, Option<Arc<Ssh>>);

impl Connection {
    /// The target: the argument, else the option, else the environment; `None` is this machine.
    fn target(&self, argument: Option<&str>) -> Option<String> {
        // Not an `env` of the option, with which the argument would be at odds.
        let environment = || std::env::var("TOWLINE_TARGET").ok().filter(|target| !target.is_empty());
        let said = argument.or(self.target.as_deref()).map(str::to_owned);
        said.or_else(environment).filter(|target| target != HERE)
    }

    /// A target was named, in whatever way.
    pub fn is_far(&self, argument: Option<&str>) -> bool {
        self.target(argument).is_some()
    }

    pub fn agent(&self) -> &str {
        &self.agent
    }

    pub fn root(&self) -> Option<&str> {
        self.root.as_deref()
    }

    /// The batch system that was asked for; without a target, processes of this machine.
    pub fn batch(&self, argument: Option<&str>) -> Option<String> {
        let asked = self.batch.clone().filter(|batch| batch != "auto");
        asked.or_else(|| (!self.is_far(argument)).then(|| "host".to_owned()))
    }

    /// The host. Connects on first use.
    pub fn remote(&self, argument: Option<&str>) -> anyhow::Result<Host> {
        let Some(target) = self.target(argument) else {
            return Ok((Arc::new(Local::default()), None));
        };
        let ssh = Arc::new(Ssh::new(towline_ssh::Options {
            target,
            config_file: self.ssh_config.clone(),
            identity_files: self.identity.clone(),
            accept_new_host_key: self.accept_new_host_key,
            prompt: prompt::terminal(),
            ..towline_ssh::Options::default()
        })?);
        Ok((Arc::clone(&ssh) as Arc<dyn Remote>, Some(ssh)))
    }

    /// The scripts: this program's, and those of the directory that was named.
    pub fn scripts(&self) -> anyhow::Result<Scripts> {
        Ok(Scripts::embedded().with_site(self.scripts.as_deref())?)
    }

    pub fn options(&self, argument: Option<&str>) -> anyhow::Result<Options> {
        let mut options = Options::new(self.agent.clone(), OWNER);
        options.root.clone_from(&self.root);
        options.batch = self.batch(argument);
        options.scripts = self.scripts()?;
        Ok(options)
    }

    /// Connects.
    pub async fn connect(&self, argument: Option<&str>) -> anyhow::Result<Cluster> {
        let (remote, ssh) = self.remote(argument)?;
        let connected = Cluster::connect(remote, self.options(argument)?).await;
        for key in ssh.iter().flat_map(|ssh| ssh.accepted_host_keys()) {
            eprintln!(
                "accepted the key of {}, which was not known before: {} {} (written to {})",
                key.host, key.kind, key.fingerprint, key.file
            );
        }
        connected.with_context(|| match self.target(argument) {
            Some(target) => format!("{target} cannot be used; `towline check {target}` says more"),
            None => "this machine cannot be used".to_owned(),
        })
    }
}
