//! What can keep a server from starting.

use std::net::SocketAddr;

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("failed to listen on {address} for the kubelet API: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What came back.
        source: std::io::Error,
    },
    /// The bundle of client CAs cannot be used.
    #[error("failed to use the CA bundle for client certificates of the kubelet API: {0}")]
    ClientCa(String),
    /// TLS cannot be set up.
    #[error("failed to set up TLS for the kubelet API: {0}")]
    Tls(#[from] rustls::Error),
}
