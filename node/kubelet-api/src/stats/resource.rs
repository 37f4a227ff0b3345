//! `GET /metrics/resource`: what metrics-server reads. Names, labels and words: the kubelet's `resource_metrics.go`.

use super::NodeUsage;
use super::rows::{ContainerRow, PodRow};
use super::text::{Sample, Text, seconds};

/// What is used; `None`: it could not be asked for, and that is what the answer says.
pub fn resource(known: Option<(&NodeUsage, &[PodRow<'_>])>) -> String {
    let (usage, rows) = known.unzip();
    let rows = rows.unwrap_or_default();
    let newest = rows.iter().map(|row| row.time_ms).max();
    let node = |value: f64| newest.map(|at| -> Sample<'static> { (vec![], value, Some(at)) });
    let error = f64::from(u8::from(usage.is_none()));
    let mut text = Text::default();
    text.metric(
        "container_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        containers(rows, |row| Some(seconds(row.usage.figures.cpu_ns)), true),
    )
    .metric(
        "container_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the container in bytes",
        containers(rows, |row| Some(row.usage.figures.working_set as f64), true),
    )
    .metric(
        "container_start_time_seconds",
        "gauge",
        "[STABLE] Start time of the container since unix epoch in seconds",
        containers(rows, |row| Some(row.started?.as_second() as f64), false),
    )
    .metric(
        "node_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        node(usage.map_or(0.0, |usage| seconds(usage.cpu_ns))),
    )
    .metric(
        "node_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the node in bytes",
        node(rows.iter().map(|row| row.figures.working_set).sum::<u64>() as f64),
    )
    .metric(
        "pod_cpu_usage_seconds_total",
        "counter",
        "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        pods(rows, |row| seconds(row.figures.cpu_ns)),
    )
    .metric(
        "pod_memory_working_set_bytes",
        "gauge",
        "[STABLE] Current working set of the pod in bytes",
        pods(rows, |row| row.figures.working_set as f64),
    )
    .metric(
        "resource_scrape_error",
        "gauge",
        "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        [(vec![], error, None)],
    )
    .finish()
}

fn containers<'a>(
    rows: &'a [PodRow<'_>],
    value: impl Fn(&ContainerRow<'_>) -> Option<f64>,
    timed: bool,
) -> impl Iterator<Item = Sample<'a>> {
    let all = rows
        .iter()
        .flat_map(|pod| pod.containers.iter().map(move |row| (pod, row)));
    all.filter_map(move |(pod, row)| {
        let labels = vec![("container", row.name), ("namespace", pod.namespace), ("pod", pod.name)];
        Some((labels, value(row)?, timed.then_some(pod.time_ms)))
    })
}

fn pods<'a>(rows: &'a [PodRow<'_>], value: impl Fn(&PodRow<'_>) -> f64) -> impl Iterator<Item = Sample<'a>> {
    rows.iter().map(move |row| {
        let labels = vec![("namespace", row.namespace), ("pod", row.name)];
        (labels, value(row), Some(row.time_ms))
    })
}
