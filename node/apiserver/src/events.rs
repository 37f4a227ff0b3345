//! Events.

use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use crate::Session;

/// Whether an event is good news.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Information.
    Normal,
    /// Something is wrong.
    Warning,
}

/// Publishes events; never blocks its caller and never fails it. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {}

impl Recorder {
    /// Starts the worker.
    pub fn new(_cancel: CancellationToken) -> Self {
        todo!()
    }

    /// Publishes an event about a pod.
    pub fn publish(&self, _session: &Session, _pod: &Pod, _kind: Kind, _reason: &str, _message: &str) {
        todo!()
    }

    /// Publishes an event about the session's node.
    pub fn publish_node(&self, _session: &Session, _kind: Kind, _reason: &str, _message: &str) {
        todo!()
    }
}
