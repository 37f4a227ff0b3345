//! What a caller says about the far side, and how a person is asked for secrets.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// Asks a person. Command line tools implement it on a terminal; without one, anything that needs an answer is an error
/// that says so.
#[async_trait]
pub trait Prompt: Send + Sync {
    /// Asks for something that is not shown while it is typed: a passphrase, a password, a code. `None` gives up.
    async fn secret(&self, what: &str) -> Option<String>;

    /// Asks for something that is shown while it is typed. `None` gives up.
    async fn visible(&self, what: &str) -> Option<String>;
}

/// How to reach a host. Only `target` is needed; the rest overrides the configuration of OpenSSH.
#[derive(Clone)]
pub struct Options {
    /// `host`, `user@host:port`, `ssh://user@host:port`, `[v6]:port`, or an alias of the configuration file.
    pub target: String,
    /// The configuration to read in place of `~/.ssh/config` and `/etc/ssh/ssh_config`.
    pub config_file: Option<PathBuf>,
    /// Private keys to offer to the target, before those of the configuration; they have to be there. Hosts on the way have their own.
    pub identity_files: Vec<PathBuf>,
    /// `known_hosts` to read in place of the configured ones, for every host on the way; the first takes what is accepted.
    pub known_hosts_files: Vec<PathBuf>,
    /// Accept the key of a host that is not known yet, once, and write it down. A changed key is never accepted.
    pub accept_new_host_key: bool,
    /// Who answers for passphrases, passwords and codes.
    pub prompt: Option<Arc<dyn Prompt>>,
    /// How long a connection may take until it is authenticated, per hop, without the time a person takes to answer.
    /// `None`: `ConnectTimeout`, or 20 s.
    pub connect_timeout: Option<Duration>,
    /// How many connections streams are spread over before they begin to share them.
    pub bulk_connections: usize,
    /// How many connections for streams there may be at all, each with up to 8 streams; further streams wait.
    pub max_bulk_connections: usize,
    /// How long a connection for streams is kept when no stream uses it.
    pub bulk_idle: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            target: String::new(),
            config_file: None,
            identity_files: Vec::new(),
            known_hosts_files: Vec::new(),
            accept_new_host_key: false,
            prompt: None,
            connect_timeout: None,
            bulk_connections: 4,
            max_bulk_connections: 16,
            bulk_idle: Duration::from_secs(60),
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("target", &self.target)
            .field("config_file", &self.config_file)
            .field("identity_files", &self.identity_files)
            .field("known_hosts_files", &self.known_hosts_files)
            .field("accept_new_host_key", &self.accept_new_host_key)
            .field("prompt", &self.prompt.is_some())
            .field("connect_timeout", &self.connect_timeout)
            .field("bulk_connections", &self.bulk_connections)
            .field("max_bulk_connections", &self.max_bulk_connections)
            .field("bulk_idle", &self.bulk_idle)
            .finish()
    }
}
