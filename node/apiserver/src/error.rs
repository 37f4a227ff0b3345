//! What can go wrong with an API server, sorted by what a caller may do about it.

use std::path::PathBuf;
use std::time::Duration;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials cannot be used as they are; trying again changes nothing.
    #[error("failed to use {what}: {why}")]
    Credentials {
        /// Which file or source.
        what: String,
        /// What is wrong with it and what to do.
        why: String,
    },
    /// The API server answered with an error, or could not be reached.
    #[error("failed to {what} on {server}: {source}{hint}")]
    Api {
        /// Verb and object.
        what: String,
        /// The API server.
        server: String,
        /// What came back.
        source: Box<kube::Error>,
        /// What to do about it; empty, or begins with a separator.
        hint: String,
    },
    /// The API server did not answer in time.
    #[error("failed to {what} on {server}: no answer within {} s", after.as_secs())]
    Timeout {
        /// Verb and object.
        what: String,
        /// The API server.
        server: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Somebody else holds the name of this node.
    #[error("node {node} on {server} is held by {holder}: {why}")]
    Taken {
        /// The node's name.
        node: String,
        /// The API server.
        server: String,
        /// Who holds it.
        holder: String,
        /// How that is known and what to do.
        why: String,
    },
    /// A file of the node's state cannot be read or written.
    #[error("failed to {what} {}: {source}", path.display())]
    State {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What came back.
        source: std::io::Error,
    },
    /// A certificate or key cannot be made or understood.
    #[error("failed to {what}: {why}")]
    Certificate {
        /// What was tried.
        what: String,
        /// What is wrong.
        why: String,
    },
}
