//! The pods that run, with what they use: what all forms of an answer are made of.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use towline_core::quantity;
use towline_core::usage::{ContainerUsage, Figures, PodUsage};

use super::NodeUsage;

/// A pod of which some container runs and has figures.
#[derive(Debug)]
pub struct PodRow<'a> {
    pub namespace: &'a str,
    pub name: &'a str,
    pub uid: &'a str,
    /// When the node began with it.
    pub started: Option<Timestamp>,
    /// When the figures are from, milliseconds since 1970.
    pub time_ms: i64,
    /// Of the whole job where the batch system keeps account of it, else of the containers together; the processor time
    /// is that of all runs.
    pub figures: Figures,
    /// Nanoseconds of processor time per second, lately.
    pub nano_cores: Option<u64>,
    pub processes: u64,
    pub containers: Vec<ContainerRow<'a>>,
    /// Everything that is known, with what is only the pod's own: network and disk space.
    pub usage: &'a PodUsage,
}

/// A container that runs.
#[derive(Debug)]
pub struct ContainerRow<'a> {
    pub name: &'a str,
    /// Its id, without the runtime's name before it.
    pub id: &'a str,
    pub image: &'a str,
    pub started: Option<Timestamp>,
    pub usage: &'a ContainerUsage,
    /// Nanoseconds of processor time per second, lately.
    pub nano_cores: Option<u64>,
    /// How much memory it may use, bytes.
    pub limit: Option<u64>,
}

/// Joins pods and figures, sorted by namespace and name. Figures of a run that is over are left out.
pub fn rows<'a>(pods: &'a [Arc<Pod>], usage: &'a NodeUsage) -> Vec<PodRow<'a>> {
    let mut rows: Vec<PodRow<'a>> = pods.iter().filter_map(|pod| row(pod, usage)).collect();
    rows.sort_by_key(|row| (row.namespace, row.name));
    rows
}

fn row<'a>(pod: &'a Pod, usage: &'a NodeUsage) -> Option<PodRow<'a>> {
    let uid = pod.metadata.uid.as_deref()?;
    let (usage, cpu_ns) = usage.pods.get(uid)?;
    let status = pod.status.as_ref()?;
    let init = status.init_container_statuses.iter().flatten();
    let statuses = init.chain(status.container_statuses.iter().flatten());
    let containers: Vec<ContainerRow<'a>> = statuses
        .filter_map(|status| {
            let running = status.state.as_ref()?.running.as_ref()?;
            let found = usage.container(&status.name, status.restart_count)?;
            Some(ContainerRow {
                name: &status.name,
                id: id(status),
                image: &status.image,
                started: running.started_at.as_ref().map(|time| time.0),
                usage: found,
                nano_cores: usage.nano_cores(found),
                limit: limit(pod, &status.name),
            })
        })
        .collect();
    if containers.is_empty() {
        return None;
    }
    let sum = |of: fn(&Figures) -> u64| containers.iter().map(|row| of(&row.usage.figures)).sum();
    let memory = usage.job.unwrap_or(Figures {
        cpu_ns: 0,
        working_set: sum(|figures| figures.working_set),
        rss: sum(|figures| figures.rss),
    });
    Some(PodRow {
        namespace: pod.metadata.namespace.as_deref().unwrap_or_default(),
        name: pod.metadata.name.as_deref().unwrap_or_default(),
        uid,
        started: status.start_time.as_ref().map(|time| time.0),
        time_ms: usage.time_ms,
        figures: Figures {
            cpu_ns: *cpu_ns,
            ..memory
        },
        nano_cores: containers.iter().map(|row| row.nano_cores).sum(),
        processes: containers.iter().map(|row| row.usage.processes).sum(),
        containers,
        usage,
    })
}

fn id(status: &ContainerStatus) -> &str {
    let id = status.container_id.as_deref().unwrap_or_default();
    id.split_once("://").map_or(id, |(_, id)| id)
}

fn limit(pod: &Pod, name: &str) -> Option<u64> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let container = all.find(|container| container.name == name)?;
    let limits = container.resources.as_ref()?.limits.as_ref()?;
    quantity::units(&limits.get("memory")?.0).ok()
}
