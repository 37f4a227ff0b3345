//! Where a node's credentials come from.

use std::path::PathBuf;

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
    /// A node's client certificate in files.
    NodeCertificate {
        /// Server and CA are taken from here; the user in it is not used.
        kubeconfig: PathBuf,
        /// PEM.
        certificate: PathBuf,
        /// PEM.
        key: PathBuf,
    },
}
