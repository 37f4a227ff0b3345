//! Replaces the client certificate in time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use kube::Config;
use rand::Rng;
use tokio_util::task::AbortOnDropHandle;
use tracing::{error, info, warn};

use crate::Error;
use crate::identity::credentials::{CLIENT_FILE, bootstrap, read_files, with_pair};
use crate::identity::csr::{self, Purpose};
use crate::identity::pair::{Facts, Pair};
use crate::identity::session::{Inner, Session};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(60);
/// Longest sleep at a stretch: the wall clock may jump.
const NAP: Duration = Duration::from_secs(600);

/// How a client certificate is replaced.
pub(crate) enum Plan {
    /// The cluster signs a new one.
    Signed {
        base: Box<Config>,
        facts: Box<Facts>,
        directory: PathBuf,
    },
    /// Somebody else replaces the files.
    Files {
        base: Box<Config>,
        certificate: PathBuf,
        key: PathBuf,
    },
}

impl Plan {
    pub fn signed(base: Config, pair: &Pair, directory: &Path) -> Self {
        Self::Signed {
            base: Box::new(base),
            facts: Box::new(pair.facts.clone()),
            directory: directory.to_owned(),
        }
    }

    pub fn files(base: Config, certificate: &Path, key: &Path) -> Self {
        Self::Files {
            base: Box::new(base),
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }
    }
}

/// Rotates in the background until the session is dropped.
pub(crate) fn spawn(session: Weak<Inner>, plan: Plan) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        match plan {
            Plan::Signed { base, facts, directory } => signed(&session, &base, *facts, &directory).await,
            Plan::Files { base, certificate, key } => files(&session, &base, &certificate, &key).await,
        }
    }))
}

/// Sleeps until a point of the wall clock.
pub(crate) async fn sleep_until(at: SystemTime) {
    while let Ok(left) = at.duration_since(SystemTime::now()) {
        tokio::time::sleep(left.min(NAP)).await;
    }
}

/// A pause between two attempts, never in step with others.
pub(crate) fn pause() -> Duration {
    Duration::from_secs(rand::rng().random_range(120..300))
}

async fn signed(session: &Weak<Inner>, base: &Config, mut facts: Facts, directory: &Path) {
    loop {
        sleep_until(facts.rotate_at()).await;
        loop {
            // Not kept while waiting: the session has to end with its last user.
            let Some(strong) = session.upgrade().map(Session::from_inner) else {
                return;
            };
            let (client, server, node) = (strong.client(), strong.server().to_owned(), strong.node().to_owned());
            drop(strong);
            let renewed = if facts.not_after > SystemTime::now() {
                csr::obtain(client, &server, &node, Purpose::Client, &[], directory).await
            } else {
                error!(node, "the client certificate has expired: bootstrapping anew");
                bootstrap(&node, base, directory).await
            };
            let result = renewed.and_then(|pair| {
                pair.save(&directory.join(CLIENT_FILE))?;
                install(session, base, &pair)?;
                Ok(pair.facts)
            });
            match result {
                Ok(new) => {
                    info!(node, "the client certificate was rotated");
                    facts = new;
                    break;
                }
                Err(error) => {
                    warn!(node, "failed to rotate the client certificate; trying again: {error}");
                    tokio::time::sleep(pause()).await;
                }
            }
        }
    }
}

async fn files(session: &Weak<Inner>, base: &Config, certificate: &Path, key: &Path) {
    let mut seen = stamp(certificate, key);
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamp(certificate, key);
        if now == seen {
            continue;
        }
        let Some(node) = session
            .upgrade()
            .map(|inner| Session::from_inner(inner).node().to_owned())
        else {
            return;
        };
        // Kept as unseen after an error: certificate and key may be written one after the other.
        match read_files(&node, certificate, key).and_then(|pair| install(session, base, &pair)) {
            Ok(()) => {
                info!(
                    node,
                    "the client certificate was read again from {}",
                    certificate.display()
                );
                seen = now;
            }
            Err(error) => warn!(
                node,
                "the client certificate on disk has changed but cannot be used: {error}"
            ),
        }
    }
}

fn install(session: &Weak<Inner>, base: &Config, pair: &Pair) -> Result<(), Error> {
    match session.upgrade() {
        Some(inner) => Session::from_inner(Arc::clone(&inner)).replace(&with_pair(base, pair)?),
        None => Ok(()),
    }
}

/// When two files were last changed.
pub(crate) fn stamp(certificate: &Path, key: &Path) -> [Option<SystemTime>; 2] {
    [certificate, key].map(|path| std::fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::credentials::{Credentials, resolve};
    use k8s_openapi::api::core::v1::Node;
    use kube::Api;

    #[tokio::test]
    #[ignore = "needs a Kubernetes API server: KUBECONFIG"]
    async fn a_certificate_near_its_end_is_renewed_by_itself() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = std::env::var("TESTBED_BOOTSTRAP_KUBECONFIG")
            .expect("TESTBED_BOOTSTRAP_KUBECONFIG")
            .into();
        let state = tempfile::tempdir().unwrap();
        let node = "rotation-of-a-test";
        let session = Session::connect(node, &Credentials::Bootstrap { kubeconfig }, state.path())
            .await
            .unwrap();
        let file = session.state_dir().join(CLIENT_FILE);
        let first = Pair::load(&file).unwrap().unwrap();
        let kubeconfig = std::env::var("TESTBED_BOOTSTRAP_KUBECONFIG")
            .expect("TESTBED_BOOTSTRAP_KUBECONFIG")
            .into();
        let ready = resolve(node, &Credentials::Bootstrap { kubeconfig }, session.state_dir())
            .await
            .unwrap();
        let Some(Plan::Signed {
            base,
            mut facts,
            directory,
        }) = ready.rotation
        else {
            panic!("a bootstrapped certificate has to be rotated")
        };
        // As if it had been in use for long.
        facts.not_before = SystemTime::now() - Duration::from_secs(100_000);
        facts.not_after = SystemTime::now() + Duration::from_secs(1_000);
        let mut changed = session.changed();
        let weak = session.downgrade();
        let task = spawn(weak, Plan::Signed { base, facts, directory });
        tokio::time::timeout(Duration::from_secs(60), changed.changed())
            .await
            .expect("a rotation")
            .unwrap();
        let second = Pair::load(&file).unwrap().unwrap();
        assert!(second.chain != first.chain && second.key != first.key);
        let nodes: Api<Node> = Api::all(session.client());
        nodes.get_opt(node).await.expect("the new certificate must be good");
        drop(task);
    }
}
