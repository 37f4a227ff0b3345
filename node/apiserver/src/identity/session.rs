//! A connection to the API server in the name of one virtual node.

use std::path::Path;

use kube::Client;
use tokio::sync::watch;

use crate::Error;
use crate::identity::Credentials;

/// A connection to the API server in the name of one virtual node. Cheap to clone.
#[derive(Clone)]
pub struct Session {}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// Credentials that cannot be used, or an API server that cannot be reached or does not accept them.
    pub async fn connect(_node: &str, _credentials: &Credentials, _state_dir: &Path) -> Result<Self, Error> {
        todo!()
    }

    /// The node's name.
    pub fn node(&self) -> &str {
        todo!()
    }

    /// The API server's address, for messages.
    pub fn server(&self) -> &str {
        todo!()
    }

    /// The node's own directory, below the state directory (0700).
    pub fn state_dir(&self) -> &Path {
        todo!()
    }

    /// The current client; take it anew for each request, since the rotation of the certificate replaces it.
    pub fn client(&self) -> Client {
        todo!()
    }

    /// The cluster's CA as this connection knows it, PEM.
    pub fn ca_pem(&self) -> Option<Vec<u8>> {
        todo!()
    }

    /// Changes when the client was replaced.
    pub fn changed(&self) -> watch::Receiver<u64> {
        todo!()
    }
}
