//! The certificate that the kubelet endpoint serves.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::NodeAddress;
use rustls::server::ResolvesServerCert;
use tokio_util::sync::CancellationToken;

use crate::{Error, Session};

/// Where the serving certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    /// Own files, read again when they change.
    Files {
        /// PEM.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
    /// The cluster signs it (`kubernetes.io/kubelet-serving`); a self-signed one serves until it was approved.
    Csr,
    /// A certificate that nobody signed.
    SelfSigned,
}

/// The certificate to serve, replaced in place when it is rotated.
///
/// # Errors
/// Files that cannot be used, or a key that cannot be made.
pub async fn serving(
    _session: &Session,
    _how: &Serving,
    _addresses: &[NodeAddress],
    _cancel: CancellationToken,
) -> Result<Arc<dyn ResolvesServerCert>, Error> {
    todo!()
}
