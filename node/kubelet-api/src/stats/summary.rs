//! `GET /stats/summary`: the kubelet's `Summary` (k8s.io/kubelet/pkg/apis/stats/v1alpha1), as far as it is known here.

use jiff::Timestamp;
use serde::Serialize;

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
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod<'a> {
    pod_ref: Reference<'a>,
    start_time: Option<String>,
    containers: Vec<Container<'a>>,
    cpu: Cpu,
    memory: Memory,
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

/// What a node's pods use.
pub fn summary<'a>(name: &'a str, usage: &NodeUsage, rows: &[PodRow<'a>]) -> Summary<'a> {
    let newest = rows.iter().map(|row| row.time_ms).max();
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
        process_stats: Processes {
            process_count: row.processes,
        },
    }
}

fn time(ms: i64) -> String {
    written(Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH))
}

/// As Kubernetes writes times: whole seconds.
fn written(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}
