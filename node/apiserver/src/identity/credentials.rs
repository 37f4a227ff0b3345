//! Where a node's credentials come from, and the connection that they make.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Node;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Config};
use tracing::{info, warn};

use crate::Error;
use crate::error::chain;
use crate::identity::csr::{self, Purpose};
use crate::identity::pair::Pair;
use crate::identity::rotation::Plan;
use crate::identity::session::{REQUEST, bounded, client};

/// Where a node's credentials come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A kubeconfig as kubectl uses it.
    Kubeconfig {
        /// The file; `None` is `KUBECONFIG` or `~/.kube/config`.
        path: Option<PathBuf>,
        /// The context; `None` is the current one.
        context: Option<String>,
    },
    /// The ServiceAccount of the pod that this process runs in.
    InCluster,
    /// A kubeconfig with a bootstrap token, good for one thing: asking for a node's client certificate.
    Bootstrap {
        /// The file.
        kubeconfig: PathBuf,
    },
    /// A node's client certificate in files; they are read again when they change.
    NodeCertificate {
        /// Server and CA are taken from here; the user in it is not used.
        kubeconfig: PathBuf,
        /// PEM.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
}

/// A connection that can be made.
pub(crate) struct Ready {
    pub config: Config,
    pub rotation: Option<Plan>,
}

/// Where the client certificate of a bootstrapped node lies.
pub(crate) const CLIENT_FILE: &str = "client.pem";

/// Makes the configuration of a connection; for a bootstrap kubeconfig this waits for the certificate.
pub(crate) async fn resolve(node: &str, credentials: &Credentials, directory: &Path) -> Result<Ready, Error> {
    match credentials {
        Credentials::Kubeconfig { path, context } => Ok(Ready {
            config: kubeconfig(path.as_deref(), context.as_deref()).await?,
            rotation: None,
        }),
        Credentials::InCluster => {
            let why = |error| format!("{}: this works only inside a pod with a ServiceAccount", chain(&error));
            let config = Config::incluster()
                .map_err(|error| Error::credentials("the ServiceAccount of this pod", why(error)))?;
            Ok(Ready { config, rotation: None })
        }
        Credentials::NodeCertificate {
            kubeconfig: path,
            certificate,
            key,
        } => {
            let base = kubeconfig(Some(path), None).await?;
            let pair = read_files(node, certificate, key)?;
            let config = with_pair(&base, &pair)?;
            let plan = Plan::files(base, certificate, key);
            Ok(Ready {
                config,
                rotation: Some(plan),
            })
        }
        Credentials::Bootstrap { kubeconfig: path } => {
            let base = kubeconfig(Some(path), None).await?;
            let pair = match stored(node, &base, directory).await? {
                Some(pair) => pair,
                None => bootstrap(node, &base, directory).await?,
            };
            let config = with_pair(&base, &pair)?;
            Ok(Ready {
                config,
                rotation: Some(Plan::signed(base, &pair, directory)),
            })
        }
    }
}

/// Asks for a first certificate with the bootstrap credentials.
pub(crate) async fn bootstrap(node: &str, base: &Config, directory: &Path) -> Result<Pair, Error> {
    let server = server_of(base);
    let pair = csr::obtain(client(base, &server)?, &server, node, Purpose::Client, &[], directory).await?;
    pair.save(&directory.join(CLIENT_FILE))?;
    info!(node, "the cluster signed the node's client certificate");
    Ok(pair)
}

/// The certificate of an earlier start, if the cluster still takes it.
async fn stored(node: &str, base: &Config, directory: &Path) -> Result<Option<Pair>, Error> {
    let path = directory.join(CLIENT_FILE);
    let pair = match Pair::load(&path) {
        Ok(Some(pair)) => pair,
        Ok(None) => return Ok(None),
        Err(error) => {
            warn!(node, "asking for a new certificate: {error}");
            return Ok(None);
        }
    };
    if !pair.usable(SystemTime::now()) || !pair.facts.identifies(node) {
        info!(
            node,
            "the certificate in {} has expired, asking for a new one",
            path.display()
        );
        return Ok(None);
    }
    let server = server_of(base);
    let nodes: Api<Node> = Api::all(client(&with_pair(base, &pair)?, &server)?);
    match bounded(REQUEST, &server, &format!("get node {node}"), nodes.get_opt(node)).await {
        Ok(_) => Ok(Some(pair)),
        Err(error) if error.is_unauthorized() => {
            warn!(
                node,
                "{server} does not take the certificate in {}, asking for a new one",
                path.display()
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Reads a node's certificate and key from their files.
pub(crate) fn read_files(node: &str, certificate: &Path, key: &Path) -> Result<Pair, Error> {
    let read = |path: &Path| std::fs::read_to_string(path).map_err(Error::state("read", path));
    let what = certificate.display().to_string();
    let pair = Pair::new(read(certificate)?, read(key)?, &what)?;
    if !pair.facts.identifies(node) {
        let why = format!(
            "it is for {} in {:?}, and node {node} needs {} in [\"system:nodes\"]",
            pair.facts.common_name,
            pair.facts.organizations,
            super::pair::user_of(node)
        );
        return Err(Error::credentials(what, why));
    }
    if !pair.usable(SystemTime::now()) {
        return Err(Error::credentials(what, "it has expired or is not valid yet"));
    }
    Ok(pair)
}

/// The same connection with a certificate as its user.
pub(crate) fn with_pair(base: &Config, pair: &Pair) -> Result<Config, Error> {
    let user = serde_json::json!({
        "client-certificate-data": STANDARD.encode(&pair.chain),
        "client-key-data": STANDARD.encode(&pair.key),
    });
    let mut config = base.clone();
    config.auth_info =
        serde_json::from_value(user).map_err(|error| Error::certificate("use the client certificate", error))?;
    Ok(config)
}

pub(crate) fn server_of(config: &Config) -> String {
    config.cluster_url.to_string().trim_end_matches('/').to_owned()
}

async fn kubeconfig(path: Option<&Path>, context: Option<&str>) -> Result<Config, Error> {
    let what = path.map_or_else(
        || "the default kubeconfig (KUBECONFIG, or ~/.kube/config)".to_owned(),
        |path| format!("kubeconfig {}", path.display()),
    );
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    let bad = |error: kube::config::KubeconfigError| Error::credentials(what.clone(), chain(&error));
    let read = match path {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    Config::from_custom_kubeconfig(read.map_err(bad)?, &options)
        .await
        .map_err(bad)
}

/// The CA of a connection as PEM; `None` when the system's own is used.
pub(crate) fn ca_pem(config: &Config) -> Option<Vec<u8>> {
    let mut pem = String::new();
    for der in config.root_cert.iter().flatten() {
        let body = STANDARD.encode(der);
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, tail) = rest.split_at(rest.len().min(64));
            let _ = writeln!(pem, "{line}");
            rest = tail;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    (!pem.is_empty()).then(|| pem.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(directory: &Path, node: &str) -> (PathBuf, PathBuf) {
        let pair = Pair::self_signed(node, &[]).unwrap();
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        std::fs::write(&certificate, &pair.chain).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
        (certificate, key)
    }

    #[test]
    fn the_certificate_of_another_node_is_refused_with_both_names() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = written(directory.path(), "other");
        assert!(read_files("other", &certificate, &key).is_ok());
        let error = read_files("hpc", &certificate, &key).err().unwrap().to_string();
        assert!(
            error.contains("system:node:other") && error.contains("system:node:hpc"),
            "{error}"
        );
    }

    #[test]
    fn the_ca_of_a_connection_is_readable_pem() {
        let pair = Pair::self_signed("ca", &[]).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(pair.chain.as_bytes()).unwrap();
        let mut config = Config::new("https://a".parse().unwrap());
        assert_eq!(ca_pem(&config), None);
        config.root_cert = Some(vec![pem.contents.clone()]);
        let written = ca_pem(&config).unwrap();
        let (_, again) = x509_parser::pem::parse_x509_pem(&written).unwrap();
        assert_eq!(again.contents, pem.contents);
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let error = kubeconfig(Some(Path::new("/none/there")), None)
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("/none/there"), "{error}");
    }
}
