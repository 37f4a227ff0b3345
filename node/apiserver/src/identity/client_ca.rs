//! The CA that the API server's own client certificate comes from.

use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use tracing::debug;

use crate::{Error, Session};

/// A bundle of CA certificates and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// PEM.
    pub pem: Vec<u8>,
    /// Where it was found, for a message.
    pub source: String,
}

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const KEY: &str = "client-ca-file";

/// The CA of client certificates: `file`, else the ConfigMap `kube-system/extension-apiserver-authentication` where it
/// may be read (a node may not, a ServiceAccount may), else the CA of the connection.
///
/// # Errors
/// The file cannot be read, or none is known at all.
pub async fn client_ca(session: &Session, file: Option<&Path>) -> Result<ClientCa, Error> {
    if let Some(path) = file {
        let pem = std::fs::read(path).map_err(Error::state("read", path))?;
        return Ok(ClientCa {
            pem,
            source: path.display().to_string(),
        });
    }
    let maps: Api<ConfigMap> = Api::namespaced(session.client(), NAMESPACE);
    let what = format!("get configmap {NAMESPACE}/{NAME}");
    match session.call(&what, maps.get_opt(NAME)).await {
        Ok(found) => {
            let pem = found
                .and_then(|map| map.data?.remove(KEY))
                .filter(|pem| !pem.trim().is_empty());
            if let Some(pem) = pem {
                return Ok(ClientCa {
                    pem: pem.into_bytes(),
                    source: format!("configmap {NAMESPACE}/{NAME}"),
                });
            }
        }
        Err(error) if error.is_forbidden() => debug!("using the CA of the connection: {error}"),
        Err(error) => return Err(error),
    }
    let pem = session.ca_pem().ok_or_else(|| {
        Error::credentials(
            "the CA of client certificates",
            "none is known: the connection uses the system's own; name a file",
        )
    })?;
    Ok(ClientCa {
        pem,
        source: format!("the CA of {}", session.server()),
    })
}
