//! What a site lets pods ask for: the keys of `policy` and `flavours`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use towline_core::policy as core;
use towline_core::settings::Setting;

use super::node::Node;
use super::values::Quantity;

/// What pods may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Policy {
    /// The annotations (without `towline.dev/`) by which pods may say how their jobs are to be: see `docs/annotations.md`.
    #[schemars(extend("x-default" = "all but flags"))]
    pub annotations: Option<Vec<String>>,
    /// The only values that pods may give to an annotation, as `partition: [debug, standard]`.
    pub values: BTreeMap<String, Vec<String>>,
    /// Directories of the cluster that hostPath volumes may lie in. What is open here is open to everybody who can make a
    /// pod on this node.
    pub host_paths: Vec<HostPath>,
    /// Where on the cluster the volumes of claims are; the first rule whose `from` fits is used.
    pub volumes: Vec<VolumeRule>,
    /// What becomes of `runAsUser`, `runAsGroup`, `fsGroup` and `supplementalGroups`: `account` lets the account stand for
    /// every number, `exact` refuses pods that name one (but user and group 0).
    pub users: Users,
    /// Run the pods of DaemonSets; otherwise they stay Pending with a reason, and no job is submitted for them.
    pub daemon_sets: bool,
    /// The container runtime (a script of `remote-scripts/container/`) for a pod with that RuntimeClass.
    pub runtime_classes: BTreeMap<String, String>,
    /// The batch system's word (gres) for an extended resource, as `example.org/fpga: fpga`.
    pub gres: BTreeMap<String, String>,
    /// The domain of the Kubernetes cluster, for pods with setHostnameAsFQDN.
    pub cluster_domain: String,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            annotations: None,
            values: BTreeMap::new(),
            host_paths: Vec::new(),
            volumes: Vec::new(),
            users: Users::Account,
            daemon_sets: false,
            runtime_classes: BTreeMap::new(),
            gres: BTreeMap::new(),
            cluster_domain: core::Policy::default().cluster_domain,
        }
    }
}

/// A directory of the cluster that is open to pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HostPath {
    /// The directory, as compute nodes see it.
    pub path: String,
    /// For reading only.
    #[serde(default)]
    pub read_only: bool,
}

/// A rule where volumes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct VolumeRule {
    /// The beginning of a volume's source: `/path` (hostPath, local), `nfs://server/path` (nfs, and CSI with the attributes
    /// server and share), `csi://driver/handle`.
    pub from: String,
    /// The directory that takes its place, as compute nodes see it.
    pub to: String,
}

/// A named set of defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Flavour {
    /// The name.
    pub name: String,
    /// CPUs of a pod that asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "defaults.cpu"))]
    pub cpu: Option<Quantity>,
    /// Memory of a pod that asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "defaults.memory"))]
    pub memory: Option<Quantity>,
    /// What its job is to be like, as annotations say it: `partition: gpu`. `policy` does not limit it.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
}

/// What becomes of the ids that pods name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum Users {
    // Comments and not documentation: see ImageFormat.
    // The account stands for all of them.
    Account,
    // They are refused.
    Exact,
}

impl Node {
    /// As the translation of pods has it. (Names were checked before.)
    pub fn policy(&self) -> core::Policy {
        let policy = &self.policy;
        let flavour = |flavour: &Flavour| core::Flavour {
            cpus: flavour.cpu.as_ref().map(Quantity::whole),
            memory_mb: flavour.memory.as_ref().map(Quantity::mib),
            settings: flavour
                .settings
                .iter()
                .filter_map(|(name, value)| Some((Setting::of(name)?, value.clone())))
                .collect(),
        };
        core::Policy {
            settings: policy
                .annotations
                .as_ref()
                .map_or_else(core::default_settings, |names| {
                    names.iter().filter_map(|name| Setting::of(name)).collect()
                }),
            values: policy
                .values
                .iter()
                .filter_map(|(name, values)| Some((Setting::of(name)?, values.iter().cloned().collect())))
                .collect(),
            flavours: self
                .flavours
                .iter()
                .map(|one| (one.name.clone(), flavour(one)))
                .collect(),
            default_flavour: self.default_flavour.clone(),
            host_paths: policy
                .host_paths
                .iter()
                .map(|open| core::HostPath {
                    path: open.path.clone(),
                    read_only: open.read_only,
                })
                .collect(),
            volumes: policy
                .volumes
                .iter()
                .map(|rule| core::VolumeRule {
                    from: rule.from.clone(),
                    to: rule.to.clone(),
                })
                .collect(),
            users: match policy.users {
                Users::Account => core::Users::Account,
                Users::Exact => core::Users::Exact,
            },
            daemon_sets: policy.daemon_sets,
            runtime_classes: policy.runtime_classes.clone(),
            gres: policy.gres.clone(),
            cluster_domain: policy.cluster_domain.clone(),
        }
    }
}
