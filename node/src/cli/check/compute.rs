//! A compute node, seen from inside a job.

use towline_cluster::Cluster;
use towline_core::answer::Facts;

use super::Report;
use super::finding::{Finding, State};
use crate::cli::site::SiteOptions;

/// Looks at a compute node. `runtime`: what pods are run with.
pub async fn node(cluster: &Cluster, site: &SiteOptions, runtime: &str, registries: &[String], report: &mut Report) {
    let facts = match cluster.check(&site.request(), registries).await {
        Ok(facts) => facts,
        Err(error) => {
            let advice =
                "does `srun hostname` work on the login node? perhaps the job needs --partition, --account or --qos";
            report.add(
                Finding::lacking(
                    State::Missing,
                    "compute node",
                    error.to_string(),
                    "no job has run",
                    advice,
                )
                .needed(),
            );
            return;
        }
    };
    let kernel = facts.get("kernel").unwrap_or("not known");
    report.add(
        Finding::found(
            "compute node",
            format!("{}, kernel {kernel}", facts.get("node").unwrap_or("-")),
        )
        .needed(),
    );
    let root = cluster.root();
    report.add(needed(
        yes(&facts, "root_visible"),
        Finding::found("shared directory", format!("{root} is seen there")),
        Finding::lacking(
            State::Missing,
            "shared directory",
            format!("{root} is not seen there"),
            "jobs find neither their pods nor the scripts",
            "choose a directory of a shared file system with --root",
        ),
    ));
    report.add(simple(
        yes(&facts, "userns"),
        "user namespaces",
        "containers need them unless Apptainer is installed setuid; without them nobody is root inside, each container of a pod has \
         memory (IPC, /dev/shm) of its own, and pods with shareProcessNamespace fail",
        "ask the site for user.max_user_namespaces > 0",
    ));
    report.add(match facts.get("nsenter") {
        Some("no") => Finding::lacking(
            State::Limited,
            "nsenter",
            "not there",
            "no command can be run in a container (kubectl exec, commands of probes and hooks), and the containers of a pod share \
             neither memory (IPC, /dev/shm) nor processes",
            "ask the site to install util-linux on compute nodes",
        ),
        Some(path) => Finding::found("nsenter", path),
        None => Finding::lacking(State::Unknown, "nsenter", "the node does not say", "", ""),
    });
    report.add(container_runtime(&facts, runtime));
    report.add(simple(
        yes(&facts, "subuid"),
        "subuid ranges",
        "root inside is the only user there: it cannot give files to others, or become one of them",
        "ask the site for ranges in /etc/subuid and /etc/subgid if images need other users beside runAsUser",
    ));
    report.add(simple(
        yes(&facts, "fuse"),
        "/dev/fuse",
        "images in files (sif) cannot be mounted",
        "keep images as directories (sandbox), the default",
    ));
    report.add(simple(
        yes(&facts, "tun"),
        "/dev/net/tun",
        "pods have the node's network and none of their own",
        "nothing has to be done",
    ));
    report.add(match facts.get("tmp_noexec") {
        Some("yes") => Finding::lacking(
            State::Limited,
            "/tmp",
            "noexec",
            "programs cannot be started from there",
            "keep programs elsewhere",
        ),
        Some(_) => Finding::found("/tmp", "programs can be started from there"),
        None => Finding::lacking(State::Unknown, "/tmp", "", "", ""),
    });
    report.add(match facts.get("gpus") {
        Some(gpus) => Finding::found("GPUs", gpus),
        None => Finding::found("GPUs", "none on this node").meaning("a node of another partition may have some"),
    });
    for (key, said) in &facts.0 {
        let Some(host) = key.strip_prefix("registry ") else {
            continue;
        };
        let what = format!("registry {host}");
        report.add(if said == "reachable" {
            Finding::found(what, "reachable")
        } else {
            Finding::lacking(
                State::Missing,
                what,
                said.as_str(),
                "images cannot be pulled from it on compute nodes",
                "use a mirror inside the site, or ask for a proxy",
            )
        });
    }
}

fn container_runtime(facts: &Facts, runtime: &str) -> Finding {
    let version = facts.get("apptainer").filter(|version| *version != "no");
    let needed = runtime == "apptainer";
    let mut finding = match (version, facts.get("runtime_works")) {
        (Some(version), Some("yes")) => Finding::found("Apptainer", format!("{version}, it runs containers")),
        (Some(version), said) => Finding::lacking(
            State::Missing,
            "Apptainer",
            format!(
                "{version}, but it runs no containers: {}",
                said.unwrap_or("it says nothing")
            ),
            "pods with images cannot run",
            "ask the site; pods without images can run with --runtime none",
        ),
        (None, _) => Finding::lacking(
            if needed { State::Missing } else { State::Limited },
            "Apptainer",
            "not there",
            "pods with images cannot run",
            "load its module in .bashrc, ask the site to install it, or run pods without images (--runtime none)",
        ),
    };
    finding.needed = needed;
    finding
}

fn yes(facts: &Facts, key: &str) -> Option<bool> {
    facts.get(key).map(|value| value == "yes")
}

fn needed(is: Option<bool>, found: Finding, missing: Finding) -> Finding {
    match is {
        Some(true) => found.needed(),
        Some(false) => missing.needed(),
        None => Finding::lacking(
            State::Unknown,
            found.what,
            "the node does not say",
            missing.means,
            missing.advice,
        ),
    }
}

fn simple(is: Option<bool>, what: &str, means: &str, advice: &str) -> Finding {
    match is {
        Some(true) => Finding::found(what, "there"),
        Some(false) => Finding::lacking(State::Limited, what, "not there", means, advice),
        None => Finding::lacking(State::Unknown, what, "the node does not say", means, ""),
    }
}
