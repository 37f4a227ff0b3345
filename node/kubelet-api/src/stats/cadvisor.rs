//! `GET /metrics/cadvisor`: the same figures under the names that dashboards ask for. Names, labels and words: cAdvisor's
//! `metrics/prometheus.go` with the labels of the kubelet. There is no cgroup path (`id`); a row without a container is
//! about the whole pod.

use towline_core::usage::{Filled, Traffic};

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
    /// Bytes that were read and written, and those that it takes on disks.
    io: Option<(u64, u64)>,
    space: Option<u64>,
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
    let of_disks = |value: fn(&Values<'_>) -> Option<u64>| {
        let all = all.iter();
        all.filter_map(move |row| {
            let mut labels = row.labels.clone();
            labels.insert(1, ("device", ""));
            Some((labels, value(row)? as f64, Some(row.time_ms)))
        })
    };
    let mut text = Text::default();
    text.metric(
        "container_cpu_usage_seconds_total",
        "counter",
        "Cumulative cpu time consumed in seconds.",
        cpu,
    )
    .metric(
        "container_fs_reads_bytes_total",
        "counter",
        "Cumulative count of bytes read",
        of_disks(|row| Some(row.io?.0)),
    )
    .metric(
        "container_fs_usage_bytes",
        "gauge",
        "Number of bytes that are consumed by the container on this filesystem.",
        of_disks(|row| row.space),
    )
    .metric(
        "container_fs_writes_bytes_total",
        "counter",
        "Cumulative count of bytes written",
        of_disks(|row| Some(row.io?.1)),
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
    );
    networks(&mut text, rows.unwrap_or_default());
    text.metric(
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

/// What went over the interfaces of pods that have a network of their own.
fn networks(text: &mut Text, rows: &[PodRow<'_>]) {
    type Value = fn(&Traffic) -> u64;
    let parts: [(&str, &str, Value); 4] = [
        ("bytes", "bytes", |traffic| traffic.bytes),
        ("errors", "errors encountered while", |traffic| traffic.errors),
        ("packets_dropped", "packets dropped while", |traffic| traffic.dropped),
        ("packets", "packets", |traffic| traffic.packets),
    ];
    for (way, done) in [
        ("receive", ["received", "receiving"]),
        ("transmit", ["transmitted", "transmitting"]),
    ] {
        for (what, words, value) in parts {
            let samples = rows.iter().flat_map(|pod| {
                pod.usage.network.iter().map(move |interface| {
                    let traffic = if way == "receive" {
                        &interface.received
                    } else {
                        &interface.sent
                    };
                    let mut labels = labels(pod, ["", "", ""]);
                    labels.insert(3, ("interface", interface.name.as_str()));
                    (labels, value(traffic) as f64, Some(pod.time_ms))
                })
            });
            let done = done[usize::from(words.ends_with("while"))];
            text.metric(
                &format!("container_network_{way}_{what}_total"),
                "counter",
                &format!("Cumulative count of {words} {done}"),
                samples,
            );
        }
    }
}

/// Those of a container (its name, image and id), or of the whole pod if they are empty.
fn labels<'a>(pod: &PodRow<'a>, [container, image, name]: [&'a str; 3]) -> Vec<(&'static str, &'a str)> {
    vec![
        ("container", container),
        ("id", ""),
        ("image", image),
        ("name", name),
        ("namespace", pod.namespace),
        ("pod", pod.name),
    ]
}

/// One value of each, with the time of its figures.
fn timed<'a>(all: &[Values<'a>], value: fn(&Values<'a>) -> f64) -> Vec<Sample<'a>> {
    let all = all.iter();
    all.map(|row| (row.labels.clone(), value(row), Some(row.time_ms)))
        .collect()
}

fn values<'a>(pod: &PodRow<'a>) -> Vec<Values<'a>> {
    let whole = Values {
        labels: labels(pod, ["", "", ""]),
        cpu_ns: pod.figures.cpu_ns,
        working_set: pod.figures.working_set,
        rss: pod.figures.rss,
        processes: pod.processes,
        started: pod.started.map(|time| time.as_second()),
        io: None,
        space: pod.usage.ephemeral().map(|(bytes, _)| bytes),
        time_ms: pod.time_ms,
    };
    let containers = pod.containers.iter().map(|row| Values {
        labels: labels(pod, [row.name, row.image, row.id]),
        cpu_ns: row.usage.figures.cpu_ns,
        working_set: row.usage.figures.working_set,
        rss: row.usage.figures.rss,
        processes: row.usage.processes,
        started: row.started.map(|time| time.as_second()),
        io: row.usage.io,
        space: own_space(pod, row.name),
        time_ms: pod.time_ms,
    });
    std::iter::once(whole).chain(containers).collect()
}

/// What a container takes on disks: its root file system and its logs.
fn own_space(pod: &PodRow<'_>, name: &str) -> Option<u64> {
    let parts = [Filled::Rootfs, Filled::Logs].map(|what| pod.usage.space(what, name));
    let known = parts.into_iter().flatten();
    known.map(|(bytes, _)| bytes).reduce(u64::saturating_add)
}
