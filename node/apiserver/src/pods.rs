//! The pods that should run here.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;

use crate::Session;

/// A pod and the node that it is bound to.
#[derive(Debug, Clone)]
pub struct BoundPod {
    /// Index of the session in the list that [`Desired::start`] got.
    pub session: usize,
    /// The pod as last seen.
    pub pod: Arc<Pod>,
}

/// The pods that are bound to our nodes, kept current by watches. Cheap to clone.
#[derive(Clone)]
pub struct Desired {}

impl Desired {
    /// Starts one watch per session.
    pub fn start(_sessions: Vec<Session>, _cancel: CancellationToken) -> Self {
        todo!()
    }

    /// All pods by UID; `None` until every session's first complete list.
    pub fn snapshot(&self) -> Option<Arc<BTreeMap<String, BoundPod>>> {
        todo!()
    }

    /// Returns when the snapshot is another one than at the last call.
    pub async fn changed(&mut self) {
        todo!()
    }
}
