//! TLS: our certificate is shown, the client's is asked for and verified if there is a CA for it.

use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use crate::Error;

/// The configuration of a server. HTTP/1.1 alone: what is upgraded to a stream of its own needs it.
///
/// # Errors
/// A CA bundle that is empty or cannot be read. It is never taken for "no certificate is needed": without a verified
/// certificate a request needs a token, whatever the configuration.
pub fn config(certificate: Arc<dyn ResolvesServerCert>, client_ca: Option<&[u8]>) -> Result<ServerConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = match client_ca {
        None => Arc::new(NoClientAuth),
        Some(pem) => WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| Error::ClientCa(error.to_string()))?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each connection proves anew who it is: certificates end, and CAs change.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn roots(pem: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| Error::ClientCa(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| Error::ClientCa(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(Error::ClientCa("it holds no certificate".to_owned()));
    }
    Ok(roots)
}
