//! What a site lets the pods of a node ask for.

use std::collections::{BTreeMap, BTreeSet};

use crate::settings::{NAMES, Setting};

/// A site's rules. The default lets a pod choose among what the account may use anyway, and opens no directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// What pods may set by annotation.
    pub settings: BTreeSet<Setting>,
    /// The only values that a pod may give to a setting.
    pub values: BTreeMap<Setting, BTreeSet<String>>,
    /// Named sets of defaults.
    pub flavours: BTreeMap<String, Flavour>,
    /// The flavour of a pod that names none.
    pub default_flavour: Option<String>,
    /// Directories of the cluster that hostPath volumes may lie in.
    pub host_paths: Vec<HostPath>,
    /// Where on the cluster persistent and network volumes are.
    pub volumes: Vec<VolumeRule>,
    /// What becomes of the user and group ids that a pod asks for.
    pub users: Users,
    /// Pods of DaemonSets are run as well.
    pub daemon_sets: bool,
    /// Container runtimes by the name of a RuntimeClass.
    pub runtime_classes: BTreeMap<String, String>,
    /// The batch system's word (gres) for an extended resource.
    pub gres: BTreeMap<String, String>,
    /// The domain of the Kubernetes cluster, for a pod's full name.
    pub cluster_domain: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            settings: default_settings(),
            values: BTreeMap::new(),
            flavours: BTreeMap::new(),
            default_flavour: None,
            host_paths: Vec::new(),
            volumes: Vec::new(),
            users: Users::Account,
            daemon_sets: false,
            runtime_classes: BTreeMap::new(),
            gres: BTreeMap::new(),
            cluster_domain: "cluster.local".to_owned(),
        }
    }
}

/// Every setting but flags of the batch system as they are.
pub fn default_settings() -> BTreeSet<Setting> {
    let all = NAMES.iter().map(|(setting, _, _)| *setting);
    all.filter(|setting| *setting != Setting::Flags).collect()
}

/// A named set of defaults, for pods that do not say otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Flavour {
    /// CPUs.
    pub cpus: Option<u64>,
    /// Memory in MiB.
    pub memory_mb: Option<u64>,
    /// Settings, as annotations would say them.
    pub settings: BTreeMap<Setting, String>,
}

/// A directory that is open to pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPath {
    /// The directory.
    pub path: String,
    /// For reading only.
    pub read_only: bool,
}

/// Volumes whose source begins with `from` are found at `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VolumeRule {
    /// `/path`, `nfs://server/path` or `csi://driver/handle`, or the beginning of one.
    pub from: String,
    /// The directory on the cluster.
    pub to: String,
}

/// What becomes of `runAsUser` and its like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Users {
    /// Every container runs as the account; one that shall not be root does not see itself as root.
    #[default]
    Account,
    /// Numbers are refused: the account has one user id, and pods do not know it.
    Exact,
}

/// What of `path` follows the directory `base`: `Some("")` for the directory itself, `None` if it lies elsewhere.
pub fn below<'a>(path: &'a str, base: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(base.trim_end_matches('/'))?;
    if rest.is_empty() || rest.starts_with('/') {
        Some(rest.trim_matches('/'))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_ends_at_a_slash() {
        for (path, base, rest) in [
            ("/data/a/b", "/data", Some("a/b")),
            ("/data", "/data/", Some("")),
            ("/data/", "/data", Some("")),
            ("/database", "/data", None),
            ("/a", "/", Some("a")),
            ("nfs://s/x/y", "nfs://s/x", Some("y")),
        ] {
            assert_eq!(below(path, base), rest, "{path} in {base}");
        }
    }

    #[test]
    fn raw_flags_are_the_only_setting_that_has_to_be_allowed() {
        let policy = Policy::default();
        assert_eq!(policy.settings.len() + 1, NAMES.len());
        assert!(!policy.settings.contains(&Setting::Flags));
    }
}
