//! Keeps the Node and its Lease.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::node::NodeDescription;
use crate::{Error, Session};

/// Keeps the Node and its Lease in the background.
pub struct NodeKeeper {}

impl NodeKeeper {
    /// Registers the node; returns when it exists with Ready=True and a Lease.
    ///
    /// # Errors
    /// [`Error::Taken`] when another live holder has the name; what the API server refused.
    pub async fn start(
        _session: Session,
        _description: watch::Receiver<NodeDescription>,
        _cancel: CancellationToken,
    ) -> Result<Self, Error> {
        todo!()
    }

    /// Ends only when the node can be kept no longer (the name was taken over): the process has to stop.
    pub async fn failed(&self) -> Error {
        todo!()
    }
}
