//! The answers that the SSH library asks for: whether a host's key is good, and what to do when the link ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{PublicKey, PublicKeyOrCertificate};
use tokio::sync::watch;

use crate::config::Hop;
use crate::error::Error;
use crate::known_hosts::{self, KnownHosts, Verdict};

/// Why a connection could not be made, or ended.
#[derive(Debug)]
pub enum Stop {
    /// The SSH library's word.
    Ssh(russh::Error),
    /// Ours.
    Ours(Error),
}

impl From<russh::Error> for Stop {
    fn from(error: russh::Error) -> Self {
        Self::Ssh(error)
    }
}

/// A host key that was accepted on first use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedHostKey {
    /// The name that it is known under now.
    pub host: String,
    /// Algorithm.
    pub kind: String,
    /// `SHA256:…`.
    pub fingerprint: String,
    /// The file that it was added to.
    pub file: String,
}

/// What has been accepted by all connections of one far side.
pub type Accepted = Arc<Mutex<Vec<AcceptedHostKey>>>;

/// The client's side of one connection.
#[derive(Debug)]
pub struct Client {
    pub(crate) hop: Hop,
    pub(crate) known: KnownHosts,
    pub(crate) accept_new: bool,
    pub(crate) accepted: Accepted,
    /// Why the link ended, once it has.
    pub(crate) ended: watch::Sender<Option<String>>,
}

impl Client {
    fn accept(&self, key: &PublicKey) -> Result<(), Error> {
        if !self.accept_new {
            return Err(self.known.unknown(key));
        }
        let Some(file) = self.hop.user_known_hosts.first() else {
            return Err(Error::Invalid(format!(
                "the key of {} cannot be accepted: UserKnownHostsFile names no file to write it to",
                self.hop.host
            )));
        };
        let name = known_hosts::name_of(&self.hop.host, self.hop.port, self.hop.host_key_alias.as_deref());
        known_hosts::append(file, &name, key).map_err(|error| {
            Error::Invalid(format!(
                "failed to add the key of {name} to {}: {error}",
                file.display()
            ))
        })?;
        let accepted = AcceptedHostKey {
            host: name,
            kind: key.algorithm().to_string(),
            fingerprint: known_hosts::fingerprint(key.key_data()),
            file: file.display().to_string(),
        };
        tracing::warn!(
            host = accepted.host,
            kind = accepted.kind,
            fingerprint = accepted.fingerprint,
            file = accepted.file,
            "accepted a new host key"
        );
        self.accepted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(accepted);
        Ok(())
    }
}

impl Handler for Client {
    type Error = Stop;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Stop> {
        let verdict = match shown.certificate() {
            Some(certificate) => {
                let now = SystemTime::now()
                    .duration_since(SystemTime::UNIX_EPOCH)
                    .unwrap_or_default();
                let name = self.hop.host_key_alias.as_deref().unwrap_or(&self.hop.host);
                self.known.check_certificate(certificate, name, now.as_secs())
            }
            None => self.known.check(shown.public_key().key_data()),
        };
        match verdict {
            Verdict::Known => Ok(true),
            Verdict::Refused(error) => Err(Stop::Ours(error)),
            Verdict::Unknown => self.accept(&shown.public_key()).map(|()| true).map_err(Stop::Ours),
        }
    }

    async fn auth_banner(&mut self, banner: &str, _: &mut Session) -> Result<(), Stop> {
        tracing::info!(host = self.hop.host, "{}", banner.trim());
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Stop>) -> Result<(), Stop> {
        let why = match reason {
            DisconnectReason::ReceivedDisconnect(info) => format!("the host ended it: {}", info.message),
            DisconnectReason::Error(Stop::Ssh(error)) => describe(&error),
            DisconnectReason::Error(Stop::Ours(error)) => error.to_string(),
        };
        self.ended.send_replace(Some(why));
        Ok(())
    }
}

/// The library's errors in words that tell a user something.
pub fn describe(error: &russh::Error) -> String {
    match error {
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::RecvError | russh::Error::SendError => {
            "the connection was closed".to_owned()
        }
        russh::Error::KeepaliveTimeout => "the host has stopped answering".to_owned(),
        russh::Error::ChannelOpenFailure(reason) => format!("the host refused to open a channel ({reason:?})"),
        other => other.to_string(),
    }
}
