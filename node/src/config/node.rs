//! What can be configured for each virtual node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policy::{Flavour, Policy};
use super::values::{Duration, GpuResource, Quantity};

/// Declares the keys of `nodes` and, without those of a single node, of `nodeDefaults`: written once.
macro_rules! node_keys {
    ($( $(#[$meta:meta])* $field:ident : $type:ty ),* $(,)?) => {
        /// What holds for each node that does not say otherwise.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
        pub struct NodeDefaults { $( $(#[$meta])* pub $field: $type, )* }

        /// A virtual node.
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields, rename_all = "camelCase")]
        pub struct Node {
            /// The name of the Node object: a DNS subdomain of at most 63 characters.
            #[schemars(extend("x-default" = "the target's host; with several nodes, that and the partition"))]
            pub name: String,
            /// The partition (queue) that the node's pods run in.
            #[schemars(extend("x-default" = "the cluster's default partition"))]
            pub partition: Option<String>,
            $( $(#[$meta])* pub $field: $type, )*
        }
    };
}

node_keys! {
    /// The account (project) that pays.
    #[schemars(extend("x-default" = "the user's default account"))]
    account: Option<String>,
    /// The quality of service.
    #[schemars(extend("x-default" = "the account's default"))]
    qos: Option<String>,
    /// Labels beside Towline's own.
    labels: BTreeMap<String, String>,
    /// Annotations beside Towline's own.
    annotations: BTreeMap<String, String>,
    /// The node's taints in place of Towline's own one; `[]` is none.
    #[schemars(extend("x-default" = "virtual-node.towline.dev/cluster=BATCH:NoSchedule"))]
    taints: Option<Vec<Taint>>,
    /// The IP address at which the API server reaches the kubelet endpoint for this node.
    #[schemars(with = "Option<String>", extend("format" = "ip", "x-default" = "kubelet.address"))]
    address: Option<IpAddr>,
    /// The port at which the API server reaches the kubelet endpoint for this node, if it is forwarded.
    #[schemars(extend("x-default" = "kubelet.port"))]
    port: Option<u16>,
    /// At most this many pods at a time, those that wait in the queue included.
    #[schemars(extend("x-default" = "10 for each CPU, at least 110"))]
    max_pods: Option<u32>,
    /// What the node offers in place of what the partition has (`cpu`, `memory`, …), and resources that the cluster does
    /// not tell of.
    capacity: BTreeMap<String, Quantity>,
    /// The name under which GPUs are offered.
    gpu_resource: GpuResource,
    /// The batch system's word for the kind of GPU.
    #[schemars(extend("x-default" = "what the partition says"))]
    gpu_type: Option<String>,
    /// What a pod is given that asks for none.
    defaults: PodDefaults,
    /// The longest walltime that a pod may ask for.
    #[schemars(extend("x-default" = "the partition's limit"))]
    max_walltime: Option<Duration>,
    /// What pods may ask for beside their resources.
    policy: Policy,
    /// Named sets of defaults; a pod chooses one by the annotation `towline.dev/flavour`.
    flavours: Vec<Flavour>,
    /// The flavour of a pod that chooses none.
    #[schemars(extend("x-default" = "none"))]
    default_flavour: Option<String>,
}

/// A taint as Kubernetes writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Taint {
    /// The key.
    pub key: String,
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-default" = "none"))]
    pub value: Option<String>,
    /// What it does to pods that do not tolerate it.
    pub effect: TaintEffect,
}

impl From<&Taint> for k8s_openapi::api::core::v1::Taint {
    fn from(taint: &Taint) -> Self {
        Self {
            key: taint.key.clone(),
            value: taint.value.clone(),
            effect: taint.effect.as_str().to_owned(),
            time_added: None,
        }
    }
}

/// What a taint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TaintEffect {
    // Comments and not documentation: see ImageFormat.
    // No new pods.
    NoSchedule,
    // Rather no new pods.
    PreferNoSchedule,
    // No pods at all.
    NoExecute,
}

impl TaintEffect {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }
}

/// What a pod is given that asks for none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct PodDefaults {
    /// CPUs, rounded up to whole ones.
    pub cpu: Quantity,
    /// Memory.
    pub memory: Quantity,
    /// Walltime.
    #[schemars(extend("x-default" = "the partition's default"))]
    pub walltime: Option<Duration>,
}

impl Default for PodDefaults {
    fn default() -> Self {
        Self {
            cpu: Quantity::new("1"),
            memory: Quantity::new("1Gi"),
            walltime: None,
        }
    }
}
