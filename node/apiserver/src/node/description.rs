//! What a node says about itself.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerImage, NodeAddress, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// What a node says about itself; a new value on the keeper's channel becomes visible in the API within seconds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NodeDescription {
    /// Our labels; foreign ones are left alone.
    pub labels: BTreeMap<String, String>,
    /// Our lasting taints; foreign ones are left alone. Under NodeRestriction they can be set at registration only.
    pub taints: Vec<Taint>,
    /// Taints that come and go, for example while the cluster is out of reach. Where NodeRestriction forbids them, the
    /// condition NetworkUnavailable says the same, from which the control plane makes a `NoSchedule` taint.
    pub transient_taints: Vec<Taint>,
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
    /// Container images that are prepared; `None`: not known, what is there stays.
    pub images: Option<Vec<ContainerImage>>,
    /// Versions and ids.
    pub node_info: NodeSystemInfo,
    /// Conditions beside the kubelet's own five, or in place of one of them.
    pub conditions: Vec<NodeConditionSpec>,
}

impl NodeDescription {
    /// All taints that should be there now.
    pub(crate) fn all_taints(&self) -> impl Iterator<Item = &Taint> {
        self.taints.iter().chain(&self.transient_taints)
    }
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

impl NodeConditionSpec {
    pub(crate) fn new(type_: &str, status: &str, reason: &str, message: &str) -> Self {
        Self {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
        }
    }
}
