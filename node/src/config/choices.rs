//! Keys of which only some combinations mean something, read as what they mean: one rule for those who check a
//! configuration and those who use it.

use std::path::Path;

use super::model::{Kubelet, Kubernetes, ServingCertificate};

/// What is wrong: the key, and why.
pub type Mistakes = Vec<(&'static str, String)>;

/// As whom the API server is reached.
#[derive(Debug, PartialEq, Eq)]
pub enum Identity<'a> {
    /// As each node, by a certificate that is asked for with this kubeconfig.
    Bootstrap(&'a Path),
    /// As one node, by a certificate that is there.
    Certificate {
        /// Server and CA.
        kubeconfig: &'a Path,
        /// PEM.
        certificate: &'a Path,
        /// PEM.
        key: &'a Path,
    },
    /// As whoever the kubeconfig, or the ServiceAccount of the pod, is.
    Own,
}

impl Kubernetes {
    /// As whom the API server is reached.
    ///
    /// # Errors
    /// Keys that contradict each other or of which one is missing.
    pub fn identity(&self) -> Result<Identity<'_>, Mistakes> {
        let mut mistakes = Mistakes::new();
        if let Some(bootstrap) = &self.bootstrap_kubeconfig {
            let given = [
                ("kubeconfig", self.kubeconfig.is_some()),
                ("context", self.context.is_some()),
                ("clientCertificate", self.client_certificate.is_some()),
                ("clientKey", self.client_key.is_some()),
            ];
            for (key, _) in given.iter().filter(|(_, given)| *given) {
                let why = "kubernetes.bootstrapKubeconfig says it already: leave one of them out";
                mistakes.push((key, why.to_owned()));
            }
            return or(Identity::Bootstrap(bootstrap), mistakes);
        }
        let (certificate, key) = (self.client_certificate.as_deref(), self.client_key.as_deref());
        if certificate.is_some() && self.context.is_some() {
            let why = "it is not used with kubernetes.clientCertificate: make it the kubeconfig's current one";
            mistakes.push(("context", why.to_owned()));
        }
        if certificate.is_some() && self.kubeconfig.is_none() {
            let why = "kubernetes.kubeconfig has to say which API server it is for";
            mistakes.push(("clientCertificate", why.to_owned()));
        }
        match (certificate, key, self.kubeconfig.as_deref()) {
            (None, None, _) => or(Identity::Own, mistakes),
            (Some(certificate), Some(key), Some(kubeconfig)) => {
                let identity = Identity::Certificate {
                    kubeconfig,
                    certificate,
                    key,
                };
                or(identity, mistakes)
            }
            (Some(_), Some(_), None) => Err(mistakes),
            (Some(_), None, _) => {
                mistakes.push(("clientCertificate", "kubernetes.clientKey is missing".to_owned()));
                Err(mistakes)
            }
            (None, Some(_), _) => {
                mistakes.push(("clientKey", "kubernetes.clientCertificate is missing".to_owned()));
                Err(mistakes)
            }
        }
    }
}

/// Where the endpoint's certificate comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Serving<'a> {
    /// The cluster signs it.
    Csr,
    /// Nobody signs it.
    SelfSigned,
    /// It lies in files.
    Files {
        /// PEM.
        certificate: &'a Path,
        /// PEM.
        key: &'a Path,
    },
}

impl Kubelet {
    /// Where the endpoint's certificate comes from.
    ///
    /// # Errors
    /// Files that are missing, or named although they are not used.
    pub fn serving(&self) -> Result<Serving<'_>, Mistakes> {
        let (certificate, key) = (self.certificate_file.as_deref(), self.key_file.as_deref());
        let unused = || {
            let given = [("certificateFile", certificate), ("keyFile", key)];
            let given = given.into_iter().filter(|(_, file)| file.is_some());
            let why = "it is used with kubelet.servingCertificate: files only";
            given.map(|(key, _)| (key, why.to_owned())).collect()
        };
        match (self.serving_certificate, certificate, key) {
            (ServingCertificate::Csr, ..) => or(Serving::Csr, unused()),
            (ServingCertificate::SelfSigned, ..) => or(Serving::SelfSigned, unused()),
            (ServingCertificate::Files, Some(certificate), Some(key)) => Ok(Serving::Files { certificate, key }),
            (ServingCertificate::Files, None, None) => {
                let why = "kubelet.certificateFile and kubelet.keyFile have to say which files";
                Err(vec![("servingCertificate", why.to_owned())])
            }
            (ServingCertificate::Files, Some(_), None) => {
                Err(vec![("certificateFile", "kubelet.keyFile is missing".to_owned())])
            }
            (ServingCertificate::Files, None, Some(_)) => {
                Err(vec![("keyFile", "kubelet.certificateFile is missing".to_owned())])
            }
        }
    }
}

fn or<T>(choice: T, mistakes: Mistakes) -> Result<T, Mistakes> {
    if mistakes.is_empty() { Ok(choice) } else { Err(mistakes) }
}
