//! The keys and certificates that can be offered, in the order in which OpenSSH offers them.

use std::path::{Path, PathBuf};

use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PublicKey};
use tokio::net::UnixStream;

use crate::auth::Answers;
use crate::config::Hop;

/// Tried when no file is named, as far as they exist.
const USUAL: &[&str] = &[".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_rsa"];

/// Who signs.
#[derive(Clone, Debug)]
pub enum Source {
    /// The agent behind this socket.
    Agent(PathBuf),
    /// The private key in this file.
    File(PathBuf),
}

/// A key that can be offered, alone or with a certificate.
#[derive(Clone, Debug)]
pub struct Identity {
    pub key: PublicKey,
    pub certificate: Option<Certificate>,
    pub source: Source,
}

impl Identity {
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Kind, fingerprint and place; never anything secret.
    pub fn describe(&self) -> String {
        let what = if self.certificate.is_some() {
            "certificate for "
        } else {
            ""
        };
        let print = self.key.fingerprint(HashAlg::Sha256);
        match &self.source {
            Source::Agent(_) => format!("{what}{} {print} of the agent", self.algorithm()),
            Source::File(path) => format!("{what}{} {print} ({})", self.algorithm(), path.display()),
        }
    }
}

/// Everything there is for a host. What cannot be used is named in `hints`.
pub async fn collect(hop: &Hop, answers: &Answers, hints: &mut Vec<String>) -> Vec<Identity> {
    let explicit = hop.identity_files.is_some();
    let paths = match &hop.identity_files {
        Some(paths) => paths.clone(),
        None => std::env::home_dir()
            .map(|home| USUAL.iter().map(|name| home.join(name)).collect())
            .unwrap_or_default(),
    };
    let files: Vec<Identity> = paths
        .into_iter()
        .filter_map(|path| match from_file(&path, answers) {
            Ok(key) => Some(Identity {
                key,
                certificate: None,
                source: Source::File(path),
            }),
            Err(why) => {
                if explicit || path.exists() {
                    hints.push(why);
                }
                None
            }
        })
        .collect();
    let held = match &hop.agent {
        Some(path) => held_by_agent(path).await.unwrap_or_else(|why| {
            hints.push(why);
            Vec::new()
        }),
        None => Vec::new(),
    };
    let named = |identity: &Identity| files.iter().any(|file| same(&file.key, &identity.key));
    let (first, other): (Vec<_>, Vec<_>) = held.into_iter().partition(named);
    let mut list = first;
    if !hop.identities_only {
        list.extend(other);
    }
    // A key that the agent holds is signed by the agent: it needs no passphrase.
    let absent: Vec<_> = files
        .iter()
        .filter(|file| {
            !list
                .iter()
                .any(|held| held.certificate.is_none() && same(&held.key, &file.key))
        })
        .cloned()
        .collect();
    list.extend(absent);
    let mut out = certified(hop, &list, &files, hints);
    out.extend(list);
    out
}

fn same(one: &PublicKey, other: &PublicKey) -> bool {
    one.key_data() == other.key_data()
}

/// Certificates of files, each with the key that it is for.
fn certified(hop: &Hop, keys: &[Identity], files: &[Identity], hints: &mut Vec<String>) -> Vec<Identity> {
    let beside = files.iter().filter_map(|file| match &file.source {
        Source::File(path) => Some(suffixed(path, "-cert.pub")),
        Source::Agent(_) => None,
    });
    let mut out = Vec::new();
    for (path, named) in hop
        .certificate_files
        .iter()
        .map(|path| (path.clone(), true))
        .chain(beside.map(|path| (path, false)))
    {
        if !named && !path.exists() {
            continue;
        }
        match russh::keys::load_openssh_certificate(&path) {
            Ok(certificate) => {
                let key = keys.iter().find(|key| key.key.key_data() == certificate.public_key());
                match key {
                    Some(key) => out.push(Identity {
                        certificate: Some(certificate),
                        ..key.clone()
                    }),
                    None => hints.push(format!("the key of the certificate {} is not here", path.display())),
                }
            }
            Err(error) => hints.push(format!("failed to read the certificate {}: {error}", path.display())),
        }
    }
    out
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The public half of a key file, without its passphrase if that is possible.
fn from_file(path: &PathBuf, answers: &Answers) -> Result<PublicKey, String> {
    if let Some(key) = answers.key(path) {
        return Ok(key.public_key().clone());
    }
    let failed = |error: &dyn std::fmt::Display| format!("failed to read the key {}: {error}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    if let Ok(key) = PrivateKey::from_openssh(&text) {
        return Ok(key.public_key().clone());
    }
    match russh::keys::decode_secret_key(&text, None) {
        Ok(key) => Ok(key.public_key().clone()),
        Err(error) => russh::keys::load_public_key(suffixed(path, ".pub")).map_err(|_| failed(&error)),
    }
}

/// A connection to an agent.
pub async fn agent(path: &Path) -> Result<AgentClient<UnixStream>, String> {
    AgentClient::connect_uds(path)
        .await
        .map_err(|error| format!("failed to reach the ssh-agent at {}: {error}", path.display()))
}

async fn held_by_agent(path: &Path) -> Result<Vec<Identity>, String> {
    let list = agent(path).await?.request_identities().await;
    let list = list.map_err(|error| format!("the ssh-agent at {} does not list its keys: {error}", path.display()))?;
    let identity = |held: AgentIdentity| Identity {
        key: held.public_key().into_owned(),
        certificate: match held {
            AgentIdentity::Certificate { certificate, .. } => Some(certificate),
            AgentIdentity::PublicKey { .. } => None,
        },
        source: Source::Agent(path.to_owned()),
    };
    Ok(list.into_iter().map(identity).collect())
}
