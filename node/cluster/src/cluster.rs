//! A connected cluster.

use std::sync::Arc;

use towline_ssh::Remote;

use crate::forward::Detours;
use crate::scripts::Scripts;

/// What to connect as.
#[derive(Clone, Debug)]
pub struct Options {
    /// The agent's name: a directory below `agents/` and a part of each job's name.
    pub agent: String,
    /// Whom the agent's directory belongs to, one line. Another owner there is [`crate::Error::Owned`].
    pub owner: String,
    /// Where everything lies: absolute, or `~/…`. `None`: `~/.towline`.
    pub root: Option<String>,
    /// The batch system: a folder of `batch/`. `None`: `slurm` if there is an `sbatch`, else `host`.
    pub batch: Option<String>,
    /// The scripts to use.
    pub scripts: Scripts,
}

impl Options {
    /// The default for an agent and its owner.
    pub fn new(agent: impl Into<String>, owner: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            owner: owner.into(),
            root: None,
            batch: None,
            scripts: Scripts::embedded(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) agent: String,
    pub(crate) root: String,
    pub(crate) batch: String,
    pub(crate) scripts: String,
    pub(crate) options: Options,
    pub(crate) detours: Arc<Detours>,
}

/// A connected cluster: its scripts are in place, the agent's directories are there and are ours. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Cluster(pub(crate) Arc<Inner>);

impl Cluster {
    /// The host behind it.
    pub fn remote(&self) -> &Arc<dyn Remote> {
        &self.0.remote
    }

    /// The directory that holds everything, absolute.
    pub fn root(&self) -> &str {
        &self.0.root
    }

    /// The agent's name.
    pub fn agent(&self) -> &str {
        &self.0.agent
    }

    /// The batch system: a folder of `batch/`.
    pub fn batch(&self) -> &str {
        &self.0.batch
    }

    /// The directory of the scripts on the cluster, absolute.
    pub fn scripts(&self) -> &str {
        &self.0.scripts
    }

    /// A pod's directory on the cluster, absolute.
    pub fn pod_directory(&self, uid: &str) -> String {
        format!("{}/agents/{}/pods/{uid}", self.root(), self.agent())
    }

    /// The same connection seen as another agent of the account, whoever owns it. Its directories have to exist.
    pub fn as_agent(&self, agent: &str) -> Self {
        Self(Arc::new(Inner {
            remote: Arc::clone(&self.0.remote),
            agent: agent.to_owned(),
            root: self.0.root.clone(),
            batch: self.0.batch.clone(),
            scripts: self.0.scripts.clone(),
            options: self.0.options.clone(),
            detours: Arc::clone(&self.0.detours),
        }))
    }
}
