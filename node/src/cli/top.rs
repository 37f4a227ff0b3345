//! `towline top`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use towline_core::usage::{ContainerUsage, PodUsage};

use super::output;
use super::pods::{self, Listed, Listing};

/// Show what the pods that run on a cluster use
#[derive(Debug, Args)]
pub struct Top {
    #[command(flatten)]
    listing: Listing,
}

/// A pod that runs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Running {
    agent: String,
    uid: String,
    namespace: String,
    name: String,
    job: Option<String>,
    node: Option<String>,
    /// When the figures are from, milliseconds since 1970 by the node's clock; nothing if there are none yet.
    time_ms: Option<i64>,
    /// All of its containers together.
    total: Used,
    containers: Vec<Container>,
}

/// A container that runs.
#[derive(Debug, Serialize)]
struct Container {
    name: String,
    #[serde(flatten)]
    used: Used,
}

/// What something uses. What is not known is absent.
#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Used {
    /// Lately: thousandths of a processor.
    cpu_millis: Option<u64>,
    /// Since the container was started.
    cpu_seconds: Option<f64>,
    /// The working set.
    memory_bytes: Option<u64>,
    rss_bytes: Option<u64>,
    processes: Option<u64>,
}

impl Top {
    pub async fn run(self) -> anyhow::Result<u8> {
        let cluster = self.listing.connect().await?;
        let mut all = Vec::new();
        for agent in pods::agents(&cluster, self.listing.all_agents).await? {
            let (mut found, _) = pods::list(&agent).await?;
            found.retain(|pod| !pod.ended && pod.containers.iter().any(|container| container.state == "running"));
            let uids: Vec<String> = found.iter().map(|pod| pod.uid.clone()).collect();
            let usage = agent.usage(&uids).await?.pods;
            all.extend(found.into_iter().map(|pod| running(pod, &usage)));
        }
        // Who uses most comes first.
        all.sort_by(|a, b| (b.total.cpu_millis, &a.name).cmp(&(a.total.cpu_millis, &b.name)));
        self.listing.output.print(&all, || self.table(&all))?;
        cluster.remote().close().await;
        Ok(0)
    }

    fn table(&self, pods: &[Running]) -> String {
        let wide = self.listing.output.wide();
        let mut head = self.listing.head(&["NAME", "CPU", "MEMORY"]);
        if wide {
            head.extend(["RSS", "CPU TIME", "PROCESSES", "JOB", "NODE", "NAMESPACE", "CONTAINERS"]);
        }
        let row = |pod: &Running| {
            let total = pod.total;
            let mut row = vec![
                pod.name.clone(),
                millis(total.cpu_millis),
                mebibytes(total.memory_bytes),
            ];
            if wide {
                let containers = pod.containers.iter().map(|container| {
                    let used = container.used;
                    format!(
                        "{}={}/{}",
                        container.name,
                        millis(used.cpu_millis),
                        mebibytes(used.memory_bytes)
                    )
                });
                row.extend([
                    mebibytes(total.rss_bytes),
                    known(total.cpu_seconds, |seconds| format!("{seconds:.1}s")),
                    known(total.processes, |count| count.to_string()),
                    known(pod.job.clone(), |job| job),
                    known(pod.node.clone(), |node| node),
                    pod.namespace.clone(),
                    containers.collect::<Vec<_>>().join(","),
                ]);
            }
            self.listing.row(&pod.agent, &pod.uid, row)
        };
        output::table(&head, &pods.iter().map(row).collect::<Vec<_>>())
    }
}

fn running(pod: Listed, usage: &BTreeMap<String, PodUsage>) -> Running {
    let usage = usage.get(&pod.uid);
    let running = pod.containers.iter().filter(|container| container.state == "running");
    let containers: Vec<Container> = running
        .map(|container| {
            let found = usage.and_then(|usage| Some((usage, usage.container(&container.name, container.restarts)?)));
            Container {
                name: container.name.clone(),
                used: found.map_or_else(Used::default, |(usage, found)| used(usage, found)),
            }
        })
        .collect();
    Running {
        time_ms: usage
            .filter(|_| containers.iter().any(|container| container.used.memory_bytes.is_some()))
            .map(|usage| usage.time_ms),
        total: total(&containers),
        agent: pod.agent,
        uid: pod.uid,
        namespace: pod.namespace,
        name: pod.name,
        job: pod.job,
        node: pod.node,
        containers,
    }
}

fn used(usage: &PodUsage, found: &ContainerUsage) -> Used {
    Used {
        cpu_millis: usage.nano_cores(found).map(|nano| nano.div_ceil(1_000_000)),
        cpu_seconds: Some(found.figures.cpu_ns as f64 / 1e9),
        memory_bytes: Some(found.figures.working_set),
        rss_bytes: Some(found.figures.rss),
        processes: Some(found.processes),
    }
}

/// The sum of what is known; nothing where nothing is.
fn total(containers: &[Container]) -> Used {
    fn sum<T: std::iter::Sum<T>>(values: impl Iterator<Item = Option<T>>) -> Option<T> {
        let mut known = values.flatten().peekable();
        known.peek().is_some().then_some(())?;
        Some(known.sum())
    }
    let all = || containers.iter().map(|container| container.used);
    Used {
        cpu_millis: sum(all().map(|used| used.cpu_millis)),
        cpu_seconds: sum(all().map(|used| used.cpu_seconds)),
        memory_bytes: sum(all().map(|used| used.memory_bytes)),
        rss_bytes: sum(all().map(|used| used.rss_bytes)),
        processes: sum(all().map(|used| used.processes)),
    }
}

fn known<T>(value: Option<T>, text: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "-".to_owned(), text)
}

/// As kubectl writes it.
fn millis(cpu: Option<u64>) -> String {
    known(cpu, |cpu| format!("{cpu}m"))
}

/// As kubectl writes it.
fn mebibytes(bytes: Option<u64>) -> String {
    known(bytes, |bytes| format!("{}Mi", bytes >> 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_of_what_is_known() {
        let container = |cpu_millis, memory_bytes| Container {
            name: "c".into(),
            used: Used {
                cpu_millis,
                memory_bytes,
                ..Used::default()
            },
        };
        let sum = total(&[container(Some(5), Some(1 << 20)), container(None, Some(3 << 20))]);
        assert_eq!(
            (millis(sum.cpu_millis), mebibytes(sum.memory_bytes), sum.processes),
            ("5m".into(), "4Mi".into(), None)
        );
        assert_eq!(millis(total(&[]).cpu_millis), "-");
    }
}
