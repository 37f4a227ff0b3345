//! The CA that the API server's own client certificate comes from.

use std::path::Path;

use crate::{Error, Session};

/// A bundle of CA certificates and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM.
    pub pem: Vec<u8>,
    /// Where it was found, for a message.
    pub source: String,
}

/// The CA of client certificates: `file`, else the ConfigMap `kube-system/extension-apiserver-authentication` where it
/// may be read, else the CA of the connection.
///
/// # Errors
/// The file cannot be read, or none is known at all.
pub async fn client_ca(_session: &Session, _file: Option<&Path>) -> Result<ClientCa, Error> {
    todo!()
}
