//! One virtual node: what the configuration asks for and what the cluster has, joined.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::{NodeAddress, NodeSystemInfo, Taint};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use towline_apiserver::node::{NodeConditionSpec, NodeDescription};
use towline_core::admission::NodeFacts;
use towline_core::answer::{Facts, Partition};
use towline_core::policy::Policy;
use towline_core::quantity;
use towline_core::translate::{ImageRewrite, Site, overhead_memory_mb};
use towline_ssh::LinkState;

/// The taint that every node has unless the configuration says otherwise: only pods that ask for this node come to it.
pub const TAINT: &str = "virtual-node.towline.dev/cluster";
/// The taint of a node whose cluster cannot be reached: no new pods, and those that run are left in peace.
pub const UNREACHABLE: &str = "towline.dev/cluster-unreachable";

/// What the configuration says about one node.
#[derive(Debug, Clone, Default)]
pub struct NodeSettings {
    /// The Node's name.
    pub name: String,
    /// The partition; `None` is the cluster's default.
    pub partition: Option<String>,
    /// The account that pays.
    pub account: Option<String>,
    /// The quality of service.
    pub qos: Option<String>,
    /// Labels beside our own.
    pub labels: BTreeMap<String, String>,
    /// Annotations beside our own.
    pub annotations: BTreeMap<String, String>,
    /// Taints; `None` is our own one.
    pub taints: Option<Vec<Taint>>,
    /// Where the control plane reaches the kubelet endpoint for this node; `None`: as for all.
    pub address: Option<String>,
    /// At which port; `None`: as for all.
    pub port: Option<u16>,
    /// At most that many pods.
    pub max_pods: Option<u64>,
    /// Limits of the capacity, and resources that the cluster does not tell of.
    pub capacity: BTreeMap<String, Quantity>,
    /// The name under which GPUs are offered.
    pub gpu_resource: String,
    /// The batch system's word for the kind of GPU.
    pub gpu_type: Option<String>,
    /// CPUs of a pod that asks for none.
    pub default_cpus: Option<u64>,
    /// Memory in MiB of a pod that asks for none.
    pub default_memory_mb: Option<u64>,
    /// Walltime in seconds of a pod that asks for none.
    pub default_walltime_s: Option<u64>,
    /// At most this walltime, seconds.
    pub max_walltime_s: Option<u64>,
    /// What pods may ask for.
    pub policy: Policy,
}

/// What holds for all nodes.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// The agent's name on the cluster.
    pub agent: String,
    /// The container runtime.
    pub runtime: String,
    /// Image rewrite rules.
    pub image_rewrites: Vec<ImageRewrite>,
    /// Registries that speak plain HTTP.
    pub plain_http: Vec<String>,
    /// `sandbox` or `sif`.
    pub image_format: String,
    /// A pull of which nothing comes for so many seconds is given up.
    pub pull_stall_s: u64,
    /// Where the control plane reaches the kubelet endpoint.
    pub address: String,
    /// Where the cluster is, for a person.
    pub target: String,
    /// The batch system.
    pub batch: String,
}

/// A virtual node, ready to be registered and to translate pods for.
#[derive(Debug, Clone)]
pub struct NodeSite {
    /// The Node's name.
    pub name: String,
    /// What translation needs.
    pub site: Site,
    /// What admission needs.
    pub facts: NodeFacts,
    /// What the API server is told, without the state of the link; the port of the kubelet endpoint is filled in when it is open.
    pub description: NodeDescription,
}

impl NodeSite {
    /// Joins configuration and cluster.
    ///
    /// # Errors
    /// The cluster has no such partition, or a quantity cannot be read.
    pub fn new(
        settings: &NodeSettings,
        common: &Common,
        facts: &Facts,
        partitions: &[Partition],
    ) -> anyhow::Result<Self> {
        let partition = find(settings.partition.as_deref(), partitions, &common.target)?;
        let limit = |own: Option<u64>, partition: Option<u64>| match (own, partition) {
            (Some(own), Some(partition)) => Some(own.min(partition)),
            (own, partition) => own.or(partition),
        };
        let site = Site {
            agent: common.agent.clone(),
            runtime: common.runtime.clone(),
            partition: Some(partition.name.clone()).filter(|_| common.batch != "host"),
            account: settings.account.clone(),
            qos: settings.qos.clone(),
            default_cpus: settings.default_cpus.unwrap_or(1),
            default_memory_mb: settings.default_memory_mb.unwrap_or(1024),
            overhead_memory_mb: overhead_memory_mb(&common.runtime),
            default_walltime_s: settings.default_walltime_s,
            max_walltime_s: limit(settings.max_walltime_s, partition.max_walltime_s),
            image_rewrites: common.image_rewrites.clone(),
            plain_http: common.plain_http.clone(),
            image_format: common.image_format.clone(),
            pull_stall_s: common.pull_stall_s,
            gpu_type: settings
                .gpu_type
                .clone()
                .or_else(|| partition.gpu_type.clone())
                .filter(|_| partition.gpus_per_node > 0),
            gpu_resource: Some(settings.gpu_resource.clone()).filter(|name| !name.is_empty()),
            batch: common.batch.clone(),
            partitions: partitions
                .iter()
                .map(|one| (one.name.clone(), limit(settings.max_walltime_s, one.max_walltime_s)))
                .collect(),
            policy: settings.policy.clone(),
        };
        let capacity = capacity(settings, partition)?;
        let labels = labels(settings, common, facts, partition);
        let taints = settings
            .taints
            .clone()
            .unwrap_or_else(|| vec![taint(TAINT, &common.batch)]);
        let allocatable = capacity
            .iter()
            .filter_map(|(name, quantity)| Some((name.clone(), quantity::amount(name, &quantity.0).ok()?)))
            .collect();
        let annotations = settings
            .annotations
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .chain([("towline.dev/target".to_owned(), common.target.clone())])
            .collect();
        Ok(Self {
            name: settings.name.clone(),
            site,
            facts: NodeFacts {
                name: settings.name.clone(),
                labels: labels.clone(),
                taints: taints.clone(),
                allocatable,
            },
            description: NodeDescription {
                labels,
                taints,
                annotations,
                allocatable: capacity.clone(),
                capacity,
                addresses: addresses(settings.address.as_deref().unwrap_or(&common.address)),
                node_info: node_info(common, facts),
                ..NodeDescription::default()
            },
        })
    }

    /// What the API server is told while the link is in this state. A dead link is not a dead node (invariant 7): the
    /// node stays ready, gets no new pods, and says why.
    pub fn described(&self, link: &LinkState, target: &str) -> NodeDescription {
        let mut description = self.description.clone();
        let (status, reason, message) = match link {
            LinkState::Idle | LinkState::Up { .. } => ("True", "Connected", format!("connected to {target}")),
            LinkState::Down { why, .. } => ("False", "LinkDown", why.clone()),
            LinkState::Blocked { why } => ("False", "LinkBlocked", why.clone()),
        };
        if status == "False" {
            description.transient_taints.push(taint(UNREACHABLE, ""));
        }
        description.conditions.push(NodeConditionSpec {
            type_: "towline.dev/ClusterReachable".to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
        });
        description
    }
}

fn taint(key: &str, value: &str) -> Taint {
    Taint {
        key: key.to_owned(),
        value: Some(value.to_owned()).filter(|value| !value.is_empty()),
        effect: "NoSchedule".to_owned(),
        time_added: None,
    }
}

fn find<'a>(wanted: Option<&str>, partitions: &'a [Partition], target: &str) -> anyhow::Result<&'a Partition> {
    let found = match wanted {
        Some(name) => partitions.iter().find(|partition| partition.name == name),
        None => partitions
            .iter()
            .find(|partition| partition.default)
            .or_else(|| partitions.first().filter(|_| partitions.len() == 1)),
    };
    if let Some(found) = found {
        return Ok(found);
    }
    let names: BTreeSet<&str> = partitions.iter().map(|partition| partition.name.as_str()).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    match wanted {
        Some(name) => bail!("{target} has no partition {name:?}: it has {names}"),
        None => bail!("{target} has no default partition: name one of {names} with --partition"),
    }
}

fn capacity(settings: &NodeSettings, partition: &Partition) -> anyhow::Result<BTreeMap<String, Quantity>> {
    let mut found: BTreeMap<String, Quantity> = BTreeMap::from([
        ("cpu".to_owned(), Quantity(partition.cpus.to_string())),
        (
            "memory".to_owned(),
            Quantity(format!(
                "{}Mi",
                partition.memory_per_node_mb.saturating_mul(partition.nodes)
            )),
        ),
        // As many pods as CPUs can be asked for in jobs of one CPU, and those that wait in the queue.
        (
            "pods".to_owned(),
            Quantity(partition.cpus.saturating_mul(10).max(110).to_string()),
        ),
    ]);
    let gpus = partition.gpus_per_node.saturating_mul(partition.nodes);
    if gpus > 0 {
        found.insert(settings.gpu_resource.clone(), Quantity(gpus.to_string()));
    }
    if let Some(pods) = settings.max_pods {
        found.insert("pods".to_owned(), Quantity(pods.to_string()));
    }
    for (name, quantity) in &settings.capacity {
        quantity::units(&quantity.0)
            .with_context(|| format!("node {}: the capacity of {name} cannot be used", settings.name))?;
        found.insert(name.clone(), quantity.clone());
    }
    Ok(found)
}

fn labels(settings: &NodeSettings, common: &Common, facts: &Facts, partition: &Partition) -> BTreeMap<String, String> {
    // What a label may hold: other characters of a partition's name become dashes.
    let value = |text: &str| -> String {
        let text: String = text
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "-_.".contains(c) {
                    c
                } else {
                    '-'
                }
            })
            .take(63)
            .collect();
        text.trim_matches(['-', '_', '.']).to_owned()
    };
    let mut labels: BTreeMap<String, String> = [
        ("kubernetes.io/hostname", settings.name.clone()),
        ("kubernetes.io/os", "linux".to_owned()),
        ("kubernetes.io/arch", architecture(facts)),
        ("type", "virtual-kubelet".to_owned()),
        ("towline.dev/batch", value(&common.batch)),
        ("towline.dev/partition", value(&partition.name)),
        ("towline.dev/runtime", value(&common.runtime)),
        (
            "node.kubernetes.io/exclude-from-external-load-balancers",
            "true".to_owned(),
        ),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    if partition.gpus_per_node > 0
        && let Some(kind) = settings.gpu_type.as_ref().or(partition.gpu_type.as_ref())
    {
        labels.insert("towline.dev/gpu-type".to_owned(), value(kind));
    }
    labels.extend(settings.labels.clone());
    labels
}

fn architecture(facts: &Facts) -> String {
    match facts.get("machine") {
        None | Some("x86_64") => "amd64",
        Some("aarch64") => "arm64",
        Some(other) => other,
    }
    .to_owned()
}

fn addresses(address: &str) -> Vec<NodeAddress> {
    let ip = address.parse::<std::net::IpAddr>().is_ok();
    vec![NodeAddress {
        type_: if ip { "InternalIP" } else { "Hostname" }.to_owned(),
        address: address.to_owned(),
    }]
}

fn node_info(common: &Common, facts: &Facts) -> NodeSystemInfo {
    let text = |key: &str| facts.get(key).unwrap_or("unknown").to_owned();
    let version = match common.runtime.as_str() {
        "apptainer" => facts
            .get("apptainer")
            .filter(|version| *version != "no")
            .unwrap_or("unknown"),
        _ => "1",
    };
    NodeSystemInfo {
        architecture: architecture(facts),
        operating_system: "linux".to_owned(),
        os_image: format!("{} {} at {}", common.batch, text("batch_version"), common.target),
        kernel_version: text("kernel"),
        container_runtime_version: format!("{}://{version}", common.runtime),
        kubelet_version: format!("{}-towline.{}", KUBERNETES, env!("CARGO_PKG_VERSION")),
        ..NodeSystemInfo::default()
    }
}

/// The version of Kubernetes whose API this build knows.
const KUBERNETES: &str = "v1.36.0";

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(name: &str, default: bool) -> Partition {
        Partition {
            name: name.into(),
            default,
            up: true,
            nodes: 2,
            cpus: 32,
            cpus_per_node: 16,
            memory_per_node_mb: 4000,
            max_walltime_s: Some(3600),
            gpus_per_node: 2,
            gpu_type: Some("a100".into()),
        }
    }

    fn settings() -> NodeSettings {
        NodeSettings {
            name: "n".into(),
            gpu_resource: "nvidia.com/gpu".into(),
            ..NodeSettings::default()
        }
    }

    #[test]
    fn a_node_offers_what_its_partition_has() {
        let partitions = [partition("long", false), partition("debug", true)];
        let node = NodeSite::new(&settings(), &Common::default(), &Facts::default(), &partitions).unwrap();
        assert_eq!(node.site.partition.as_deref(), Some("debug"));
        assert_eq!(node.description.capacity["cpu"].0, "32");
        assert_eq!(node.description.capacity["memory"].0, "8000Mi");
        assert_eq!(node.description.capacity["nvidia.com/gpu"].0, "4");
        assert_eq!(node.facts.allocatable["cpu"], 32_000);
        assert_eq!(node.description.taints[0].key, TAINT);
    }

    #[test]
    fn the_configuration_overrides_what_was_found() {
        let own = NodeSettings {
            taints: Some(Vec::new()),
            capacity: BTreeMap::from([("cpu".into(), Quantity("4".into()))]),
            max_pods: Some(7),
            max_walltime_s: Some(60),
            ..settings()
        };
        let node = NodeSite::new(&own, &Common::default(), &Facts::default(), &[partition("p", true)]).unwrap();
        assert!(node.description.taints.is_empty());
        assert_eq!(
            (
                node.description.capacity["cpu"].0.as_str(),
                node.facts.allocatable["pods"]
            ),
            ("4", 7)
        );
        assert_eq!(node.site.max_walltime_s, Some(60));
    }

    #[test]
    fn a_partition_that_is_not_there_is_named_with_those_that_are() {
        let own = NodeSettings {
            partition: Some("gpu".into()),
            ..settings()
        };
        let error = NodeSite::new(&own, &Common::default(), &Facts::default(), &[partition("p", true)]).unwrap_err();
        assert!(error.to_string().contains("\"gpu\": it has p"), "{error}");
    }

    #[test]
    fn a_dead_link_taints_the_node_and_says_why() {
        let node = NodeSite::new(
            &settings(),
            &Common::default(),
            &Facts::default(),
            &[partition("p", true)],
        )
        .unwrap();
        let down = LinkState::Down {
            since: std::time::SystemTime::now(),
            why: "no route".into(),
        };
        let described = node.described(&down, "login");
        assert!(described.transient_taints.iter().any(|taint| taint.key == UNREACHABLE));
        assert_eq!(described.conditions[0].message, "no route");
    }
}
