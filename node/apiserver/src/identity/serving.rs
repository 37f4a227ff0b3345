//! The certificate that the kubelet endpoint serves.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use k8s_openapi::api::core::v1::NodeAddress;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::identity::csr::{self, Purpose};
use crate::identity::pair::Pair;
use crate::identity::rotation::{pause, sleep_until, stamp};
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

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Where a signed certificate lies.
const SERVING_FILE: &str = "serving.pem";

/// A certificate that can be replaced while it is served.
#[derive(Debug)]
struct Replaceable {
    current: ArcSwap<CertifiedKey>,
}

impl Replaceable {
    fn new(pair: &Pair, what: &str) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(pair.certified(what)?),
        }))
    }

    fn replace(&self, pair: &Pair, what: &str) -> Result<(), Error> {
        self.current.store(Arc::new(pair.certified(what)?));
        Ok(())
    }
}

impl ResolvesServerCert for Replaceable {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The certificate to serve for a node with these addresses, replaced in place when it is rotated until `cancel`.
///
/// # Errors
/// Files that cannot be used, or a key that cannot be made. A request that nobody approves is not an error.
pub async fn serving(
    session: &Session,
    how: &Serving,
    addresses: &[NodeAddress],
    cancel: CancellationToken,
) -> Result<Arc<dyn ResolvesServerCert>, Error> {
    let names = names(addresses);
    let (served, task): (_, futures::future::BoxFuture<'static, ()>) = match how {
        Serving::Files { certificate, key } => {
            let served = Replaceable::new(&read(certificate, key)?, &certificate.display().to_string())?;
            let task = follow_files(Arc::clone(&served), certificate.clone(), key.clone());
            (served, Box::pin(task))
        }
        Serving::SelfSigned => {
            let pair = Pair::self_signed(session.node(), &names)?;
            let served = Replaceable::new(&pair, "the self-signed certificate")?;
            let task = renew_self_signed(Arc::clone(&served), session.node().to_owned(), names, pair);
            (served, Box::pin(task))
        }
        Serving::Csr => {
            if names.is_empty() {
                let why = "the node has no address, and the signer wants at least one; configure one or use own files";
                return Err(Error::certificate("ask for a serving certificate", why));
            }
            let stored = stored(session, &names);
            let first = match &stored {
                Some(pair) => pair.clone(),
                None => Pair::self_signed(session.node(), &names)?,
            };
            let served = Replaceable::new(&first, "the serving certificate")?;
            let task = keep_signed(Arc::clone(&served), session.clone(), names, stored);
            (served, Box::pin(task))
        }
    };
    tokio::spawn(async move {
        let _ = cancel.run_until_cancelled_owned(task).await;
    });
    Ok(served)
}

/// Addresses as names of a certificate, without duplicates.
fn names(addresses: &[NodeAddress]) -> Vec<String> {
    let all: BTreeSet<&str> = addresses.iter().map(|address| address.address.as_str()).collect();
    all.into_iter()
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn read(certificate: &Path, key: &Path) -> Result<Pair, Error> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::state("read", path));
    Pair::new(read(certificate)?, read(key)?, &certificate.display().to_string())
}

async fn follow_files(served: Arc<Replaceable>, certificate: PathBuf, key: PathBuf) {
    let mut seen = stamp(&certificate, &key);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamp(&certificate, &key);
        if now == seen {
            continue;
        }
        let what = certificate.display().to_string();
        // Kept as unseen after an error: certificate and key may be written one after the other.
        match read(&certificate, &key).and_then(|pair| served.replace(&pair, &what)) {
            Ok(()) => {
                info!("the serving certificate was read again from {what}");
                seen = now;
            }
            Err(error) => warn!("the serving certificate on disk has changed but cannot be used: {error}"),
        }
    }
}

async fn renew_self_signed(served: Arc<Replaceable>, node: String, names: Vec<String>, mut pair: Pair) {
    loop {
        sleep_until(pair.facts.rotate_at()).await;
        match Pair::self_signed(&node, &names) {
            Ok(new) if served.replace(&new, "the self-signed certificate").is_ok() => pair = new,
            _ => tokio::time::sleep(pause()).await,
        }
    }
}

/// A signed certificate of an earlier start, if it still fits.
fn stored(session: &Session, names: &[String]) -> Option<Pair> {
    let pair = Pair::load(&session.state_dir().join(SERVING_FILE)).ok().flatten()?;
    let fits = names.iter().all(|name| pair.facts.names.contains(name));
    (fits && pair.usable(SystemTime::now()) && pair.facts.identifies(session.node())).then_some(pair)
}

async fn keep_signed(served: Arc<Replaceable>, session: Session, names: Vec<String>, stored: Option<Pair>) {
    let mut current = stored;
    loop {
        if let Some(pair) = &current {
            sleep_until(pair.facts.rotate_at()).await;
        }
        let (client, server, node) = (session.client(), session.server(), session.node());
        let signed = csr::obtain(client, server, node, Purpose::Serving, &names, session.state_dir()).await;
        let result = signed.and_then(|pair| {
            pair.save(&session.state_dir().join(SERVING_FILE))?;
            served.replace(&pair, "the serving certificate")?;
            Ok(pair)
        });
        match result {
            Ok(pair) => {
                info!(node, "serving with the certificate that the cluster signed");
                current = Some(pair);
            }
            Err(error) => {
                warn!(node, "no signed serving certificate yet; trying again: {error}");
                tokio::time::sleep(pause()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_named_once() {
        let address = |address: &str, type_: &str| NodeAddress {
            address: address.to_owned(),
            type_: type_.to_owned(),
        };
        let list = [
            address("10.0.0.1", "InternalIP"),
            address("10.0.0.1", "ExternalIP"),
            address("login", "Hostname"),
            address("", "Hostname"),
        ];
        assert_eq!(names(&list), ["10.0.0.1", "login"]);
    }

    #[test]
    fn a_replaced_certificate_is_served_at_once() {
        let one = Pair::self_signed("hpc", &[]).unwrap();
        let two = Pair::self_signed("hpc", &[]).unwrap();
        let served = Replaceable::new(&one, "one").unwrap();
        served.replace(&two, "two").unwrap();
        assert_eq!(served.current.load().cert, two.certified("two").unwrap().cert);
    }
}
