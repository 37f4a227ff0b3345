//! The batch system, asked from the login node.

use towline_cluster::Cluster;
use towline_core::answer::{Facts, Partition};
use towline_ssh::Command;

use super::Report;
use super::finding::{Finding, State};
use crate::cli::site::{SiteOptions, has_apptainer};

/// What is used on the login node: name, whether nothing works without it, and what it is for.
const TOOLS: [(&str, bool, &str); 4] = [
    ("tar", true, "uploads are unpacked with it"),
    ("awk", true, "answers are put together with it"),
    ("timeout", false, "without it, a batch system that hangs is waited for"),
    ("setsid", false, "processes of this host are detached with it"),
];

/// Slurm's commands: name, whether nothing works without it, and what is lost without it.
const SLURM: [(&str, bool, &str); 6] = [
    ("sbatch", true, "no job can be submitted"),
    ("squeue", true, "nothing is known of jobs"),
    ("scancel", true, "no job can be cancelled"),
    ("sinfo", true, "nothing is known of partitions"),
    (
        "sacct",
        false,
        "how a job ended is known only from the pod itself, or while the queue still shows it",
    ),
    ("srun", false, "compute nodes cannot be looked at"),
];

/// Looks at tools, batch system and partitions. True if the host that was asked has Apptainer.
pub async fn batch_system(cluster: &Cluster, site: &SiteOptions, report: &mut Report) -> bool {
    commands(cluster, report).await;
    let (facts, partitions) = match cluster.probe().await {
        Ok(found) => found,
        Err(error) => {
            let means = "what the cluster offers is not known";
            report.add(
                Finding::lacking(
                    State::Missing,
                    "batch system",
                    error.to_string(),
                    means,
                    "does `sinfo` work on the login node?",
                )
                .needed(),
            );
            return false;
        }
    };
    let version = facts.get("batch_version").unwrap_or("of an unknown version");
    report.add(Finding::found("batch system", format!("{} {version}", cluster.batch())).needed());
    if cluster.batch() == "slurm" {
        slurm(&facts, report);
    }
    partition(&partitions, site, report);
    has_apptainer(&facts)
}

async fn commands(cluster: &Cluster, report: &mut Report) {
    let slurm: &[_] = if cluster.batch() == "slurm" { &SLURM } else { &[] };
    let names = TOOLS.iter().chain(slurm).map(|(name, ..)| *name);
    let ask = "for name in \"$@\"; do printf '%s=%s\\n' \"$name\" \"$(command -v \"$name\")\"; done";
    let command = Command::new("/bin/sh").args(["-c", ask, "check"]).args(names);
    let text = match cluster.remote().shell(command).await {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => {
            report.add(Finding::lacking(State::Unknown, "tools", error.to_string(), "", ""));
            return;
        }
    };
    let path = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.filter(|path| !path.is_empty())
    };
    for (name, needed, means) in TOOLS.iter().chain(slurm) {
        let advice = if slurm.iter().any(|(other, ..)| other == name) {
            "put it on the PATH of non-interactive shells (in .bashrc, before any `return`), or load its module there"
        } else {
            "ask the site to install it on the login node"
        };
        let state = if *needed { State::Missing } else { State::Limited };
        let mut finding = match path(name) {
            Some(path) => Finding::found(*name, path),
            None => Finding::lacking(state, *name, "not there", *means, advice),
        };
        finding.needed = *needed;
        report.add(finding);
    }
}

fn slurm(facts: &Facts, report: &mut Report) {
    report.add(match facts.get("accounting") {
        Some("yes") => Finding::found("accounting", "sacct answers"),
        found => Finding::lacking(
            State::Limited,
            "accounting",
            found.unwrap_or("not known"),
            "how a job ended that died without a word is known only while the queue still shows it",
            "nothing has to be done",
        ),
    });
    report.add(match facts.get("accounts") {
        Some(accounts) => {
            Finding::found("accounts", accounts).meaning("choose one with --account if there are several")
        }
        None => Finding::found("accounts", "none, or they are not told").meaning("jobs go to the default account"),
    });
}

fn partition(partitions: &[Partition], site: &SiteOptions, report: &mut Report) {
    let asked = site
        .request()
        .into_iter()
        .find(|(key, _)| key == "partition")
        .map(|(_, name)| name);
    if let Some(name) = &asked
        && !partitions.iter().any(|partition| partition.name == *name)
    {
        let names: Vec<&str> = partitions.iter().map(|partition| partition.name.as_str()).collect();
        let found = format!("{name} is not among {}", names.join(", "));
        report.add(
            Finding::lacking(
                State::Missing,
                "partition",
                found,
                "pods have no place to run",
                "choose another one",
            )
            .needed(),
        );
    }
    if partitions.is_empty() {
        let means = "pods have no place to run";
        report.add(
            Finding::lacking(
                State::Missing,
                "partitions",
                "none",
                means,
                "ask the site which ones you may use",
            )
            .needed(),
        );
    }
    for partition in partitions {
        let Partition {
            name,
            nodes,
            cpus_per_node,
            memory_per_node_mb,
            ..
        } = partition;
        let default = if partition.default { ", the default" } else { "" };
        let gpus = match (partition.gpus_per_node, &partition.gpu_type) {
            (0, _) => String::new(),
            (count, None) => format!(", {count} GPUs a node"),
            (count, Some(kind)) => format!(", {count} GPUs ({kind}) a node"),
        };
        let walltime = partition.max_walltime_s.map_or_else(
            || "no limit of walltime".to_owned(),
            |s| format!("at most {} min", s / 60),
        );
        let found =
            format!("{nodes} nodes of {cpus_per_node} CPUs and {memory_per_node_mb} MiB{gpus}, {walltime}{default}");
        let what = format!("partition {name}");
        let chosen = asked.as_ref().map_or(partition.default, |asked| asked == name);
        report.add(if partition.up {
            Finding::found(what, found)
        } else {
            let state = if chosen { State::Missing } else { State::Limited };
            let mut finding = Finding::lacking(
                state,
                what,
                format!("down: {found}"),
                "jobs wait there until it is up again",
                "choose another one with --partition",
            );
            finding.needed = chosen;
            finding
        });
    }
}
