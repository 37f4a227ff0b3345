//! `GET /metrics/cadvisor`: the same figures under the names that dashboards ask for. Names, labels and words: cAdvisor's
//! `metrics/prometheus.go` with the labels of the kubelet. There is no cgroup path (`id`); a row without a container is
//! about the whole pod.

use super::rows::PodRow;
use super::text::{Sample, Text, seconds};

/// What the values of one container, or of a whole pod, are made of.
struct Values<'a> {
    labels: Vec<(&'static str, &'a str)>,
    cpu_ns: u64,
    working_set: u64,
    rss: u64,
    processes: u64,
    started: Option<i64>,
    time_ms: i64,
}

/// What is used; `None`: it could not be asked for, and that is what the answer says.
pub fn cadvisor(rows: Option<&[PodRow<'_>]>) -> String {
    let error = f64::from(u8::from(rows.is_none()));
    let all: Vec<Values<'_>> = rows.unwrap_or_default().iter().flat_map(values).collect();
    let timed = |value| timed(&all, value);
    let cpu = all.iter().map(|row| {
        let mut labels = row.labels.clone();
        labels.insert(1, ("cpu", "total"));
        (labels, seconds(row.cpu_ns), Some(row.time_ms))
    });
    let started = all
        .iter()
        .filter_map(|row| Some((row.labels.clone(), row.started? as f64, None)));
    let mut text = Text::default();
    text.metric(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        cpu,
    )
    .metric(
        "container_last_seen",
        "gauge",
        "Last time a container was seen by the exporter",
        timed(|row| (row.time_ms / 1000) as f64),
    )
    .metric(
        "container_memory_rss",
        "gauge",
        "Size of RSS in bytes.",
        timed(|row| row.rss as f64),
    )
    .metric(
        "container_memory_working_set_bytes",
        "gauge",
        "Current working set in bytes.",
        timed(|row| row.working_set as f64),
    )
    .metric(
        "container_processes",
        "gauge",
        "Number of processes running inside the container.",
        timed(|row| row.processes as f64),
    )
    .metric(
        "container_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise",
        [(vec![], error, None)],
    )
    .metric(
        "container_start_time_seconds",
        "gauge",
        "Start time of the container since unix epoch in seconds.",
        started,
    )
    .finish()
}

/// One value of each, with the time of its figures.
fn timed<'a>(all: &[Values<'a>], value: fn(&Values<'a>) -> f64) -> Vec<Sample<'a>> {
    let all = all.iter();
    all.map(|row| (row.labels.clone(), value(row), Some(row.time_ms)))
        .collect()
}

fn values<'a>(pod: &PodRow<'a>) -> Vec<Values<'a>> {
    let labels = |container, image, name| {
        vec![
            ("container", container),
            ("id", ""),
            ("image", image),
            ("name", name),
            ("namespace", pod.namespace),
            ("pod", pod.name),
        ]
    };
    let whole = Values {
        labels: labels("", "", ""),
        cpu_ns: pod.figures.cpu_ns,
        working_set: pod.figures.working_set,
        rss: pod.figures.rss,
        processes: pod.processes,
        started: pod.started.map(|time| time.as_second()),
        time_ms: pod.time_ms,
    };
    let containers = pod.containers.iter().map(|row| Values {
        labels: labels(row.name, row.image, row.id),
        cpu_ns: row.usage.figures.cpu_ns,
        working_set: row.usage.figures.working_set,
        rss: row.usage.figures.rss,
        processes: row.usage.processes,
        started: row.started.map(|time| time.as_second()),
        time_ms: pod.time_ms,
    });
    std::iter::once(whole).chain(containers).collect()
}
