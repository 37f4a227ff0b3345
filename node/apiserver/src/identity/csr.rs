//! Certificates that the cluster signs.
//!
//! The request's name comes from its key, and the key is on disk before the request is made: a restart while somebody
//! still has to approve finds the same request again instead of making another.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use rcgen::{CertificateParams, KeyPair};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use crate::Error;
use crate::identity::pair::{Pair, new_key, subject};
use crate::identity::session::{REQUEST, bounded};
use crate::identity::{read_optional, write_private};

/// How often an unapproved request is mentioned again.
const REMINDER: Duration = Duration::from_secs(60);

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Authenticating to the API server.
    Client,
    /// Serving the kubelet endpoint.
    Serving,
}

impl Purpose {
    fn signer(self) -> &'static str {
        match self {
            Self::Client => "kubernetes.io/kube-apiserver-client-kubelet",
            Self::Serving => "kubernetes.io/kubelet-serving",
        }
    }

    fn usages(self) -> Vec<String> {
        let role = match self {
            Self::Client => "client auth",
            Self::Serving => "server auth",
        };
        // The signers allow ECDSA keys without key encipherment, which they cannot do anyway.
        vec!["digital signature".to_owned(), role.to_owned()]
    }

    fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Serving => "serving",
        }
    }
}

/// The object to create: its name is the key's, its subject the node's.
pub(crate) fn request(
    node: &str,
    purpose: Purpose,
    names: &[String],
    key: &KeyPair,
) -> Result<CertificateSigningRequest, Error> {
    let make = |error: rcgen::Error| Error::certificate("make a certificate signing request", error);
    let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
    params.distinguished_name = subject(node);
    let pem = params.serialize_request(key).and_then(|csr| csr.pem()).map_err(make)?;
    let mut hash = Sha256::new();
    hash.update(key.public_key_raw());
    hash.update(names.join(","));
    let digest: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta {
            name: Some(format!("towline-{}-{digest}", purpose.word())),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.into_bytes()),
            signer_name: purpose.signer().to_owned(),
            usages: Some(purpose.usages()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

/// Has a certificate signed; returns when it was. The key waits in `directory` meanwhile.
pub(crate) async fn obtain(
    client: Client,
    server: &str,
    node: &str,
    purpose: Purpose,
    names: &[String],
    directory: &Path,
) -> Result<Pair, Error> {
    let pending = directory.join(format!("{}.key", purpose.word()));
    let key = pending_key(&pending)?;
    let wanted = request(node, purpose, names, &key)?;
    let name = wanted.metadata.name.clone().unwrap_or_default();
    let requests: Api<CertificateSigningRequest> = Api::all(client);
    let what = format!("create certificatesigningrequest {name}");
    let created = bounded(REQUEST, server, &what, requests.create(&PostParams::default(), &wanted)).await;
    match created {
        Err(error) if !error.is_conflict() => return Err(error),
        _ => info!(
            node,
            csr = name,
            signer = purpose.signer(),
            "waiting for the {} certificate; unless the cluster approves by itself: kubectl certificate approve {name}",
            purpose.word()
        ),
    }
    let outcome = signed(&requests, node, &name).await;
    // Signed or refused, this key has had its request.
    let _ = std::fs::remove_file(&pending);
    let pair = Pair::new(
        outcome?,
        key.serialize_pem(),
        &format!("certificatesigningrequest {name}"),
    )?;
    if pair.facts.common_name != super::pair::user_of(node) {
        return Err(Error::certificate(
            format!("use the certificate of {name}"),
            format!("it was signed for {}", pair.facts.common_name),
        ));
    }
    Ok(pair)
}

fn pending_key(path: &Path) -> Result<KeyPair, Error> {
    if let Some(content) = read_optional(path)?
        && let Some(key) = std::str::from_utf8(&content)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok())
    {
        return Ok(key);
    }
    let key = new_key()?;
    write_private(path, key.serialize_pem().as_bytes())?;
    Ok(key)
}

/// Waits until the request was signed.
async fn signed(requests: &Api<CertificateSigningRequest>, node: &str, name: &str) -> Result<String, Error> {
    let config = crate::watching::named(name);
    let mut events = std::pin::pin!(watcher::watcher(requests.clone(), config).default_backoff());
    let mut listed = false;
    loop {
        let event = match tokio::time::timeout(REMINDER, events.next()).await {
            Err(_) => {
                info!(node, csr = name, "still waiting: kubectl certificate approve {name}");
                continue;
            }
            Ok(event) => event,
        };
        match event {
            Some(Ok(watcher::Event::Apply(found) | watcher::Event::InitApply(found))) => {
                listed = true;
                if let Some(outcome) = outcome(&found) {
                    return outcome.map_err(|why| Error::certificate(format!("have {name} signed"), why));
                }
            }
            Some(Ok(watcher::Event::Init)) => listed = false,
            Some(Ok(watcher::Event::InitDone)) if listed => {}
            Some(Ok(watcher::Event::InitDone | watcher::Event::Delete(_))) | None => {
                let why = "somebody deleted the request before it was signed";
                return Err(Error::certificate(format!("have {name} signed"), why));
            }
            Some(Err(error)) => warn!(
                node,
                csr = name,
                "failed to watch the request: {}",
                crate::error::chain(&error)
            ),
        }
    }
}

/// What became of a request: nothing yet, a certificate, or why not.
fn outcome(request: &CertificateSigningRequest) -> Option<Result<String, String>> {
    let status = request.status.as_ref()?;
    let refused = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| matches!(condition.type_.as_str(), "Denied" | "Failed"));
    if let Some(condition) = refused {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        return Some(Err(format!(
            "{}: {} {}",
            condition.type_,
            text(&condition.reason),
            text(&condition.message)
        )));
    }
    let certificate = status.certificate.as_ref()?;
    Some(String::from_utf8(certificate.0.clone()).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::certificates::v1::{CertificateSigningRequestCondition, CertificateSigningRequestStatus};
    use x509_parser::prelude::{FromDer, ParsedExtension, X509CertificationRequest};

    fn parsed<T>(csr: &CertificateSigningRequest, read: impl FnOnce(X509CertificationRequest<'_>) -> T) -> T {
        let (_, pem) = x509_parser::pem::parse_x509_pem(&csr.spec.request.0).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&pem.contents).unwrap();
        read(request)
    }

    #[test]
    fn a_client_request_is_what_the_signer_approves() {
        let key = new_key().unwrap();
        let csr = request("hpc", Purpose::Client, &[], &key).unwrap();
        assert_eq!(csr.spec.signer_name, "kubernetes.io/kube-apiserver-client-kubelet");
        assert_eq!(csr.spec.usages.clone().unwrap(), ["digital signature", "client auth"]);
        parsed(&csr, |request| {
            let subject = request.certification_request_info.subject.to_string();
            assert_eq!(subject, "O=system:nodes, CN=system:node:hpc");
            assert_eq!(request.requested_extensions().into_iter().flatten().count(), 0);
        });
    }

    #[test]
    fn a_serving_request_names_the_addresses() {
        let key = new_key().unwrap();
        let names = ["10.0.0.1".to_owned(), "login.example".to_owned()];
        let csr = request("hpc", Purpose::Serving, &names, &key).unwrap();
        assert_eq!(csr.spec.signer_name, "kubernetes.io/kubelet-serving");
        parsed(&csr, |request| {
            let extensions: Vec<_> = request.requested_extensions().unwrap().collect();
            let [ParsedExtension::SubjectAlternativeName(found)] = extensions.as_slice() else {
                panic!("{extensions:?}")
            };
            assert_eq!(found.general_names.len(), 2);
        });
    }

    #[test]
    fn a_restart_finds_its_request_again_and_another_key_is_another_request() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.key");
        let name = |key: &KeyPair| {
            request("hpc", Purpose::Client, &[], key)
                .unwrap()
                .metadata
                .name
                .unwrap()
        };
        let first = name(&pending_key(&path).unwrap());
        assert_eq!(first, name(&pending_key(&path).unwrap()));
        assert_ne!(first, name(&new_key().unwrap()));
    }

    #[test]
    fn an_approved_request_without_certificate_is_not_signed_yet_and_a_denied_one_never_will_be() {
        let condition = |type_: &str| CertificateSigningRequestCondition {
            type_: type_.to_owned(),
            status: "True".to_owned(),
            reason: Some("Because".to_owned()),
            ..CertificateSigningRequestCondition::default()
        };
        let mut csr = request("hpc", Purpose::Client, &[], &new_key().unwrap()).unwrap();
        assert!(outcome(&csr).is_none());
        let mut status = CertificateSigningRequestStatus {
            conditions: Some(vec![condition("Approved")]),
            ..CertificateSigningRequestStatus::default()
        };
        csr.status = Some(status.clone());
        assert!(outcome(&csr).is_none());
        status.conditions = Some(vec![condition("Denied")]);
        csr.status = Some(status);
        assert!(outcome(&csr).unwrap().unwrap_err().contains("Because"));
    }
}
