//! What a server needs to be given.

use std::net::SocketAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use rustls::server::ResolvesServerCert;
use towline_apiserver::Session;

use crate::{Meters, Sessions};

/// How to serve one node.
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The certificate to show, see `towline_apiserver::identity::serving`.
    pub certificate: Arc<dyn ResolvesServerCert>,
    /// PEM bundle of the CAs whose client certificates are accepted. `None`: no client certificate is, only tokens.
    pub client_ca: Option<Vec<u8>>,
    /// The node's connection to the API server, which knows who a token is and who may do what with the node.
    pub session: Session,
    /// Where containers run.
    pub sessions: Arc<dyn Sessions>,
    /// Who knows what the pods use.
    pub meters: Arc<dyn Meters>,
}

/// The pods of one node, with the freshest status that is known.
pub trait Pods: Send + Sync {
    /// One of them.
    fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>>;
    /// All of them.
    fn all(&self) -> Vec<Arc<Pod>>;
}
