//! The pods that are on a cluster: what its files and its batch system say together.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use towline_cluster::Cluster;
use towline_core::answer::{ContainerReport, ContainerStage, Job, JobState, Stage};
use towline_core::observed::{Observed, RemotePod};
use towline_core::plan;

use super::connection::Connection;
use super::output::{self, Output};

/// What commands that list the pods of a cluster are told.
#[derive(Debug, Args)]
pub struct Listing {
    /// The cluster's login node; without it, this machine
    #[arg(conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// Those of all agents, the Kubernetes nodes included
    #[arg(short = 'A', long)]
    pub all_agents: bool,
    #[command(flatten)]
    pub output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Listing {
    /// Connects to the cluster.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn connect(&self) -> anyhow::Result<Cluster> {
        self.connection.connect(self.target.as_deref()).await
    }

    /// The head of a table: what tells pods apart, and the rest.
    pub fn head<'a>(&self, rest: &[&'a str]) -> Vec<&'a str> {
        let agent = self.all_agents.then_some("AGENT");
        agent.into_iter().chain(["UID"]).chain(rest.iter().copied()).collect()
    }

    /// A row that goes with [`Self::head`].
    pub fn row(&self, agent: &str, uid: &str, rest: Vec<String>) -> Vec<String> {
        let uid = if self.output.wide() {
            uid
        } else {
            uid.get(..8).unwrap_or(uid)
        };
        let agent = self.all_agents.then(|| agent.to_owned());
        agent.into_iter().chain([uid.to_owned()]).chain(rest).collect()
    }
}

/// A pod of a listing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    pub agent: String,
    pub uid: String,
    pub namespace: String,
    pub name: String,
    /// One word, as in kubectl's STATUS.
    pub status: String,
    pub job: Option<String>,
    pub node: Option<String>,
    /// The node's address, where it knows one.
    pub address: Option<String>,
    /// It is over: nothing of it can still be running.
    pub ended: bool,
    pub restarts: i32,
    /// Seconds since 1970.
    pub started: Option<i64>,
    /// Seconds since 1970, by the clock of the host that it ran on or of the batch system: it may be ahead of ours.
    pub finished: Option<i64>,
    /// For a person.
    pub message: String,
    pub containers: Vec<ListedContainer>,
}

/// A container of a listing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedContainer {
    pub name: String,
    pub init: bool,
    pub state: &'static str,
    pub reason: Option<String>,
    pub exit_code: Option<i32>,
    pub restarts: i32,
}

/// All pods of an agent. The second value says why the batch system could not be asked.
///
/// # Errors
/// The files could not be read.
pub async fn list(cluster: &Cluster) -> anyhow::Result<(Vec<Listed>, Option<towline_cluster::Error>)> {
    let mut observed = Observed::default();
    observed.scanned(cluster.scan(&[]).await?, output::now());
    let mut silent = None;
    if observed.pods().values().any(|pod| !pod.ended()) {
        match cluster.list(&observed.open_jobs()).await {
            Ok(jobs) => {
                observed.listed(jobs, output::now());
                // Those that ended between the two looks: their last report is there by now.
                let again = uids(&observed, |pod| pod.over_since.is_some());
                if !again.is_empty() {
                    observed.rescanned(&again, cluster.scan(&again).await?, output::now());
                }
            }
            Err(error) => silent = Some(error),
        }
    }
    let pods = observed
        .pods()
        .iter()
        .map(|(uid, pod)| listed(cluster.agent(), uid, pod));
    Ok((pods.collect(), silent))
}

/// The agents whose pods are meant: the cluster's own one, or all that there are.
///
/// # Errors
/// The cluster could not be asked.
pub async fn agents(cluster: &Cluster, all: bool) -> anyhow::Result<Vec<Cluster>> {
    if !all {
        return Ok(vec![cluster.clone()]);
    }
    let agents = cluster.agents().await?.into_iter();
    Ok(agents.map(|agent| cluster.as_agent(&agent.name)).collect())
}

fn uids(observed: &Observed, of: impl Fn(&RemotePod) -> bool) -> Vec<String> {
    let found = observed.pods().iter().filter(|(_, pod)| of(pod));
    found.map(|(uid, _)| uid.clone()).collect()
}

fn listed(agent: &str, uid: &str, pod: &RemotePod) -> Listed {
    let containers = pod
        .report
        .as_ref()
        .map(|report| report.containers.as_slice())
        .unwrap_or_default();
    let over = pod.queue.as_ref().filter(|job| job.state.ended());
    let (status, message) = status(pod);
    let finished = match &pod.report {
        Some(report) if pod.ended() => {
            let last = containers.iter().filter_map(|container| container.run.finished).max();
            Some(last.unwrap_or(report.time))
        }
        _ => over.and_then(|job| job.end),
    };
    Listed {
        agent: agent.to_owned(),
        uid: uid.to_owned(),
        namespace: pod.namespace.clone(),
        name: pod.name.clone(),
        status,
        job: pod.job.clone(),
        node: pod.report.as_ref().map(|report| report.host.clone()),
        address: pod.report.as_ref().and_then(|report| report.ip.clone()),
        ended: pod.ended() || over.is_some(),
        restarts: containers.iter().map(|container| container.restarts).sum(),
        started: containers.iter().filter_map(first_start).min(),
        finished,
        message,
        containers: containers.iter().map(container).collect(),
    }
}

fn first_start(container: &ContainerReport) -> Option<i64> {
    let before = container.last.as_ref().and_then(|last| last.started);
    before.or(container.run.started)
}

fn container(container: &ContainerReport) -> ListedContainer {
    ListedContainer {
        name: container.name.clone(),
        init: container.init,
        state: match container.stage {
            ContainerStage::Waiting => "waiting",
            ContainerStage::Running => "running",
            ContainerStage::Terminated => "terminated",
        },
        reason: container.run.reason.clone(),
        exit_code: container.run.exit,
        restarts: container.restarts,
    }
}

fn status(pod: &RemotePod) -> (String, String) {
    let queue = pod.queue.as_ref();
    if let Some(report) = &pod.report {
        if report.stage != Stage::Ended
            && let Some(job) = queue.filter(|job| job.state.ended())
        {
            return (without_last_words(pod, job, "Lost"), plan::describe(job));
        }
        let word = match report.stage {
            Stage::Ended => report.reason.clone().unwrap_or_else(|| "Ended".to_owned()),
            Stage::Stopping => "Terminating".to_owned(),
            _ if pod.stop => "Terminating".to_owned(),
            _ => {
                let waiting = report
                    .containers
                    .iter()
                    .filter(|container| container.stage == ContainerStage::Waiting);
                let trouble = waiting
                    .filter_map(|container| container.run.reason.as_deref())
                    .find(|reason| *reason != "PodInitializing");
                match (trouble, report.stage) {
                    (Some(reason), _) => reason.to_owned(),
                    (None, Stage::Running) => "Running".to_owned(),
                    (None, _) => "Starting".to_owned(),
                }
            }
        };
        return (word, report.message.clone());
    }
    match queue {
        Some(job) if job.state.ended() => (without_last_words(pod, job, "Failed"), plan::describe(job)),
        Some(job) if pod.stop => ("Terminating".to_owned(), plan::describe(job)),
        Some(job) if job.state.waits() => ("Pending".to_owned(), plan::describe(job)),
        Some(job) => ("Starting".to_owned(), plan::describe(job)),
        None if pod.submitting => (
            "Unknown".to_owned(),
            "the batch system has not said whether it took the job".to_owned(),
        ),
        None => (
            "Unknown".to_owned(),
            "the batch system has not been heard about its job".to_owned(),
        ),
    }
}

/// The job is over and the supervisor has not said how: it was ended by force, or nobody knows.
fn without_last_words(pod: &RemotePod, job: &Job, otherwise: &str) -> String {
    let cancelled = pod.stop || job.state == JobState::Cancelled;
    if cancelled { "Cancelled" } else { otherwise }.to_owned()
}

/// The pods that are meant by UIDs, beginnings of UIDs, or names.
///
/// # Errors
/// A word that means no pod, or several.
pub fn find<'a>(pods: &'a [Listed], words: &[String]) -> anyhow::Result<Vec<&'a Listed>> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    for word in words {
        let exact =
            |pod: &&Listed| pod.uid == *word || pod.name == *word || format!("{}/{}", pod.namespace, pod.name) == *word;
        let mut meant: Vec<&Listed> = pods.iter().filter(exact).collect();
        if meant.is_empty() && word.len() >= 4 {
            meant = pods.iter().filter(|pod| pod.uid.starts_with(word.as_str())).collect();
        }
        match meant.as_slice() {
            [] => bail!("there is no pod {word:?}; `towline ps` shows those that are there"),
            [one] => {
                if seen.insert(&one.uid) {
                    found.push(*one);
                }
            }
            many => {
                let all: Vec<String> = many.iter().map(|pod| format!("{} ({})", pod.uid, pod.status)).collect();
                bail!(
                    "{word:?} means {} pods, say which by its UID: {}",
                    many.len(),
                    all.join(", ")
                );
            }
        }
    }
    Ok(found)
}

/// The one pod that is meant.
///
/// # Errors
/// As [`find`].
pub fn one<'a>(pods: &'a [Listed], word: &str) -> anyhow::Result<&'a Listed> {
    let found = find(pods, &[word.to_owned()])?;
    found.first().copied().context("no pod was named")
}

/// The container of a pod that is meant: the one that is named, or the only one beside its init containers.
///
/// # Errors
/// There is no such container, or several could be meant.
pub fn container_of(pod: &Listed, named: Option<&str>) -> anyhow::Result<String> {
    let names: Vec<&str> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    if let Some(wanted) = named {
        if !names.is_empty() && !names.contains(&wanted) {
            bail!("pod {} has no container {wanted}, only {}", pod.name, names.join(", "));
        }
        return Ok(wanted.to_owned());
    }
    let main: Vec<&str> = pod
        .containers
        .iter()
        .filter(|container| !container.init)
        .map(|container| container.name.as_str())
        .collect();
    match main.as_slice() {
        [] => bail!("pod {} has not started yet ({}): {}", pod.name, pod.status, pod.message),
        [one] => Ok((*one).to_owned()),
        _ => bail!(
            "pod {} has several containers, say which with -c: {}",
            pod.name,
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Vec<Listed> {
        let pod = |uid: &str, name: &str| {
            let mut observed = RemotePod::default();
            (observed.namespace, observed.name) = ("default".into(), name.into());
            listed("run", uid, &observed)
        };
        vec![pod("aaaa1", "one"), pod("aaaa2", "two"), pod("bbbb3", "two")]
    }

    #[test]
    fn a_pod_is_meant_by_its_name_or_the_beginning_of_its_uid() {
        let pods = pods();
        let uids = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            find(&pods, &words).map(|found| found.into_iter().map(|pod| pod.uid.clone()).collect::<Vec<_>>())
        };
        assert_eq!(uids(&["one", "bbbb"]).unwrap(), ["aaaa1", "bbbb3"]);
        assert_eq!(uids(&["default/one", "aaaa1"]).unwrap(), ["aaaa1"]);
        assert!(uids(&["two"]).unwrap_err().to_string().contains("2 pods"));
        assert!(uids(&["aaaa"]).is_err() && uids(&["none"]).is_err() && uids(&["b"]).is_err());
    }
}
