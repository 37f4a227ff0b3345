//! What a node says about itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeAddress, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a node says about itself; a new value on the keeper's channel becomes visible in the API within seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeDescription {
    /// Our labels; foreign ones are left alone.
    pub labels: BTreeMap<String, String>,
    /// Our taints; foreign ones are left alone.
    pub taints: Vec<Taint>,
    /// Our annotations; foreign ones are left alone.
    pub annotations: BTreeMap<String, String>,
    /// What there is.
    pub capacity: BTreeMap<String, Quantity>,
    /// What pods may have of it.
    pub allocatable: BTreeMap<String, Quantity>,
    /// Where the control plane reaches the kubelet endpoint.
    pub addresses: Vec<NodeAddress>,
    /// Port of the kubelet endpoint.
    pub kubelet_port: i32,
    /// Versions and ids.
    pub node_info: NodeSystemInfo,
    /// Conditions beside the kubelet's own five.
    pub conditions: Vec<NodeConditionSpec>,
}

/// A condition without its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeConditionSpec {
    /// For example `ClusterReachable`.
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
}
