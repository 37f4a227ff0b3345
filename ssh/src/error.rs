//! What can go wrong, sorted by what a caller may do about it.

use std::time::Duration;

/// An error of a remote operation.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The host could not be reached. Nothing was started; trying again later is safe.
    #[error("failed to connect to {host}: {why}")]
    Connect {
        /// Host and port.
        host: String,
        /// What came back.
        why: String,
    },
    /// The connection stands but the command could not be started. Trying again is safe.
    #[error("failed to start a command on {host}: {why}")]
    NotStarted {
        /// The far side.
        host: String,
        /// What came back.
        why: String,
    },
    /// The host does not accept who we are. Trying again gets an account or an address banned.
    #[error("{host} refused to let {user} in: {why}")]
    Authentication {
        /// Host and port.
        host: String,
        /// The account.
        user: String,
        /// What was offered, what the host would take, and what to do.
        why: String,
    },
    /// The host's key is not known.
    #[error(
        "the key of {host} is not known ({kind}, {fingerprint}): check it with the site, then accept it once; known keys are looked up in {files}"
    )]
    HostKeyUnknown {
        /// Host and port.
        host: String,
        /// Algorithm.
        kind: String,
        /// `SHA256:…`.
        fingerprint: String,
        /// The files that were searched.
        files: String,
    },
    /// The host's key is another one than before: a new installation, or somebody in between.
    #[error(
        "the key of {host} has changed: {offered} was offered, {known} is in {file}: stop, and ask the site; if it was changed on purpose, remove line {line} of {file}"
    )]
    HostKeyChanged {
        /// Host and port.
        host: String,
        /// Fingerprint that the host shows.
        offered: String,
        /// Fingerprint that is known.
        known: String,
        /// Where it is known from.
        file: String,
        /// Line in that file, from 1.
        line: usize,
    },
    /// The host's key is marked `@revoked`.
    #[error("the key that {host} shows ({fingerprint}) is revoked by line {line} of {file}: stop, and ask the site")]
    HostKeyRevoked {
        /// Host and port.
        host: String,
        /// The key's fingerprint.
        fingerprint: String,
        /// Where it is revoked.
        file: String,
        /// Line in that file, from 1.
        line: usize,
    },
    /// The host's certificate comes from a known authority and is not good for this host.
    #[error("the certificate that {host} shows cannot be accepted: {why}: stop, and ask the site")]
    HostCertificate {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        why: String,
    },
    /// The link was lost or the time was up after the command had been handed over: it may have run, may be running
    /// still, or may never have started. Look before doing it again.
    #[error("the outcome of {what} on {host} is unknown: {why}")]
    OutcomeUnknown {
        /// The far side.
        host: String,
        /// The command, shortened.
        what: String,
        /// What happened.
        why: String,
    },
    /// The far side sent more than was allowed for.
    #[error("{what} on {host} answered with more than {limit} bytes")]
    TooMuchOutput {
        /// The far side.
        host: String,
        /// The command, shortened.
        what: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The caller asked for something that cannot be sent or configured.
    #[error("{0}")]
    Invalid(String),
}

impl Error {
    /// The command may have had an effect; only a look can tell.
    pub fn outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. } | Self::TooMuchOutput { .. })
    }

    /// A person has to do something; trying again by itself is useless or harmful.
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Authentication { .. }
                | Self::HostKeyUnknown { .. }
                | Self::HostKeyChanged { .. }
                | Self::HostKeyRevoked { .. }
                | Self::HostCertificate { .. }
                | Self::Invalid(_)
        )
    }

    pub(crate) fn timed_out(host: &str, what: String, after: Duration) -> Self {
        Self::OutcomeUnknown {
            host: host.to_owned(),
            what,
            why: format!("no answer within {} s", after.as_secs_f32()),
        }
    }
}
