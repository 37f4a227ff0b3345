//! `GET /stats/summary`: the kubelet's `Summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1), as far as it is known here.

use jiff::Timestamp;
use serde::Serialize;
use towline_core::usage::{Filled, Interface, PodUsage, Storage};

use super::NodeUsage;
use super::rows::PodRow;

#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    node: Node<'a>,
    pods: Vec<Pod<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node<'a> {
    node_name: &'a str,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fs: Option<Fs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<Runtime>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Runtime {
    image_fs: Fs,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod<'a> {
    pod_ref: Reference<'a>,
    start_time: Option<String>,
    containers: Vec<Container<'a>>,
    cpu: Cpu,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<Network<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    volume: Vec<Volume<'a>>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<Fs>,
    #[serde(rename = "process_stats")]
    process_stats: Processes,
}

#[derive(Debug, Serialize)]
struct Reference<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Container<'a> {
    name: &'a str,
    start_time: Option<String>,
    cpu: Cpu,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    rootfs: Option<Fs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logs: Option<Fs>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_nano_cores: Option<u64>,
    usage_core_nano_seconds: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    working_set_bytes: u64,
    rss_bytes: u64,
}

#[derive(Debug, Serialize)]
struct Processes {
    process_count: u64,
}

/// Of its own file system as a whole only the node knows anything.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fs {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity_bytes: Option<u64>,
    used_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes_free: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inodes_used: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Volume<'a> {
    name: &'a str,
    #[serde(flatten)]
    fs: Fs,
}

/// The first interface, and all of them.
#[derive(Debug, Serialize)]
struct Network<'a> {
    time: String,
    #[serde(flatten)]
    first: Counters<'a>,
    interfaces: Vec<Counters<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counters<'a> {
    name: &'a str,
    rx_bytes: u64,
    rx_errors: u64,
    tx_bytes: u64,
    tx_errors: u64,
}

/// What a node's pods use.
pub fn summary<'a>(name: &'a str, usage: &NodeUsage, rows: &[PodRow<'a>]) -> Summary<'a> {
    let newest = rows.iter().map(|row| row.time_ms).max();
    let storage = usage.storage.zip(newest);
    Summary {
        node: Node {
            node_name: name,
            start_time: written(usage.since),
            cpu: newest.map(|at| Cpu {
                time: time(at),
                usage_nano_cores: rows.iter().map(|row| row.nano_cores).sum(),
                usage_core_nano_seconds: usage.cpu_ns,
            }),
            memory: newest.map(|at| Memory {
                time: time(at),
                available_bytes: None,
                working_set_bytes: rows.iter().map(|row| row.figures.working_set).sum(),
                rss_bytes: rows.iter().map(|row| row.figures.rss).sum(),
            }),
            fs: storage.map(|(storage, at)| all_of(&storage, storage.capacity.saturating_sub(storage.available), at)),
            runtime: storage.map(|(storage, at)| Runtime {
                image_fs: all_of(&storage, storage.images, at),
            }),
        },
        pods: rows.iter().map(pod).collect(),
    }
}

fn pod<'a>(row: &PodRow<'a>) -> Pod<'a> {
    let at = time(row.time_ms);
    let containers = row.containers.iter().map(|container| {
        let figures = container.usage.figures;
        Container {
            name: container.name,
            start_time: container.started.map(written),
            cpu: Cpu {
                time: at.clone(),
                usage_nano_cores: container.nano_cores,
                usage_core_nano_seconds: figures.cpu_ns,
            },
            memory: Memory {
                time: at.clone(),
                available_bytes: container.limit.map(|limit| limit.saturating_sub(figures.working_set)),
                working_set_bytes: figures.working_set,
                rss_bytes: figures.rss,
            },
            rootfs: row.usage.space(Filled::Rootfs, container.name).map(part),
            logs: row.usage.space(Filled::Logs, container.name).map(part),
        }
    });
    Pod {
        pod_ref: Reference {
            name: row.name,
            namespace: row.namespace,
            uid: row.uid,
        },
        start_time: row.started.map(written),
        containers: containers.collect(),
        cpu: Cpu {
            time: at.clone(),
            usage_nano_cores: row.nano_cores,
            usage_core_nano_seconds: row.figures.cpu_ns,
        },
        memory: Memory {
            time: at.clone(),
            available_bytes: None,
            working_set_bytes: row.figures.working_set,
            rss_bytes: row.figures.rss,
        },
        network: network(row.usage),
        volume: volumes(row.usage),
        ephemeral_storage: row.usage.ephemeral().map(part),
        process_stats: Processes {
            process_count: row.processes,
        },
    }
}

/// The file system of the node, of which something takes `used` bytes.
fn all_of(storage: &Storage, used: u64, at: i64) -> Fs {
    let (inodes, free) = storage.inodes.unzip();
    Fs {
        time: time(at),
        available_bytes: Some(storage.available),
        capacity_bytes: Some(storage.capacity),
        used_bytes: used,
        inodes_free: free,
        inodes,
        inodes_used: storage.inodes.map(|(all, free)| all.saturating_sub(free)),
    }
}

/// Something that takes so many bytes at that time, seconds since 1970.
fn part((used_bytes, at): (u64, i64)) -> Fs {
    Fs {
        time: time(at.saturating_mul(1000)),
        used_bytes,
        ..Fs::default()
    }
}

fn volumes(usage: &PodUsage) -> Vec<Volume<'_>> {
    let all = usage.space.iter();
    let all = all.filter(|space| matches!(space.what, Filled::Volume | Filled::Memory));
    all.map(|space| Volume {
        name: &space.name,
        fs: part((space.bytes, space.time)),
    })
    .collect()
}

fn network(usage: &PodUsage) -> Option<Network<'_>> {
    let first = usage.network.first()?;
    Some(Network {
        time: time(usage.time_ms),
        first: counters(first),
        interfaces: usage.network.iter().map(counters).collect(),
    })
}

fn counters(interface: &Interface) -> Counters<'_> {
    Counters {
        name: &interface.name,
        rx_bytes: interface.received.bytes,
        rx_errors: interface.received.errors,
        tx_bytes: interface.sent.bytes,
        tx_errors: interface.sent.errors,
    }
}

fn time(ms: i64) -> String {
    written(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// As Kubernetes writes times: whole seconds.
fn written(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
