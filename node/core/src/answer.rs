//! What the cluster says, as types: one type per row of the contract in `remote-scripts/README.md`.

use std::collections::BTreeMap;

use crate::content::Content;
use crate::protocol::{BadAnswer, Row, rows};

/// A state of a job in the vendor-free vocabulary of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are the contract's words")]
pub enum JobState {
    Pending,
    Held,
    Running,
    Suspended,
    Completing,
    Completed,
    Failed,
    Timeout,
    OutOfMemory,
    NodeFail,
    Preempted,
    Cancelled,
    Deadline,
    /// The batch system knows nothing of this job any more.
    Gone,
    /// A native state that the backend does not know. A value, not an error (invariant 5).
    Unknown,
}

impl JobState {
    fn parse(text: &str) -> Self {
        match text {
            "pending" => Self::Pending,
            "held" => Self::Held,
            "running" => Self::Running,
            "suspended" => Self::Suspended,
            "completing" => Self::Completing,
            "completed" => Self::Completed,
            "failed" => Self::Failed,
            "timeout" => Self::Timeout,
            "out_of_memory" => Self::OutOfMemory,
            "node_fail" => Self::NodeFail,
            "preempted" => Self::Preempted,
            "cancelled" => Self::Cancelled,
            "deadline" => Self::Deadline,
            "gone" => Self::Gone,
            _ => Self::Unknown,
        }
    }

    /// The job is over and will not run again.
    pub fn ended(self) -> bool {
        matches!(
            self,
            Self::Completed
                | Self::Failed
                | Self::Timeout
                | Self::OutOfMemory
                | Self::NodeFail
                | Self::Preempted
                | Self::Cancelled
                | Self::Deadline
                | Self::Gone
        )
    }

    /// The job waits in the queue.
    pub fn waits(self) -> bool {
        matches!(self, Self::Pending | Self::Held)
    }
}

/// A `job` row: what the batch system says of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The pod whose job it is, where the job's name tells.
    pub uid: Option<String>,
    /// The batch system's id.
    pub id: String,
    /// Its state.
    pub state: JobState,
    /// When it started or is expected to start, seconds since 1970.
    pub start: Option<i64>,
    /// When it ended, seconds since 1970.
    pub end: Option<i64>,
    /// Exit code of the job itself (not of a container).
    pub exit: Option<i32>,
    /// The host it runs on.
    pub host: Option<String>,
    /// Why it waits, in the contract's words: quota, resources, held, dependency, limit, other.
    pub reason: Option<String>,
    /// The batch system's own words.
    pub text: String,
}

/// Reads the answer of `batch/*/list`.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn jobs(output: &str) -> Result<Vec<Job>, BadAnswer> {
    rows(output)?
        .iter()
        .filter(|row| row.kind() == "job")
        .map(job)
        .collect()
}

fn job(row: &Row<'_>) -> Result<Job, BadAnswer> {
    Ok(Job {
        uid: row.optional(1)?.map(str::to_owned),
        id: row.field(2)?.to_owned(),
        state: JobState::parse(row.field(3)?),
        start: row.optional_number(4)?,
        end: row.optional_number(5)?,
        exit: row.optional_number(6)?,
        host: row.optional(8)?.map(str::to_owned),
        reason: row.optional(9)?.map(str::to_owned),
        text: row.rest(10),
    })
}

/// What became of one pod of a submission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Submission {
    /// The batch system took the job.
    Submitted {
        /// The job's id.
        job: String,
    },
    /// The pod's directory was there already: somebody submitted it before, or is doing so.
    Exists {
        /// The job's id, if it is known yet.
        job: Option<String>,
    },
    /// The batch system refused the job; nothing of it is left.
    Refused {
        /// It may be asked again later.
        retry: bool,
        /// CamelCase.
        reason: String,
        /// The batch system's words.
        text: String,
    },
    /// Nobody knows whether the batch system took the job.
    Unknown {
        /// What came back instead.
        text: String,
    },
}

/// Reads the answer of `pod/submit`: what became of each pod, by UID.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn submissions(output: &str) -> Result<BTreeMap<String, Submission>, BadAnswer> {
    let mut found = BTreeMap::new();
    for row in rows(output)? {
        let outcome = match row.kind() {
            "submitted" => Submission::Submitted {
                job: row.field(2)?.to_owned(),
            },
            "exists" => Submission::Exists {
                job: row.optional(2)?.map(str::to_owned),
            },
            "refused" => Submission::Refused {
                retry: row.field(2)? == "retry",
                reason: row.field(3)?.to_owned(),
                text: row.rest(4),
            },
            "unknown" => Submission::Unknown { text: row.rest(2) },
            _ => continue,
        };
        found.insert(row.field(1)?.to_owned(), outcome);
    }
    Ok(found)
}

/// What became of the new content of one pod's volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Updated {
    /// This is what the volumes hold now: what was sent, or what is newer.
    Holds(Content),
    /// The pod's directory is gone.
    Absent,
    /// It could not be done, wholly or in part.
    Failed(String),
}

/// Reads the answer of `pod/update`: what became of each pod, by UID.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn updates(output: &str) -> Result<BTreeMap<String, Updated>, BadAnswer> {
    let mut found = BTreeMap::new();
    for row in rows(output)? {
        let outcome = match row.kind() {
            "updated" => Updated::Holds(
                Content::parse(row.field(2)?).ok_or_else(|| row.bad("field 2 does not say what the volumes hold"))?,
            ),
            "absent" => Updated::Absent,
            "failed" => Updated::Failed(row.rest(2)),
            _ => continue,
        };
        found.insert(row.field(1)?.to_owned(), outcome);
    }
    Ok(found)
}

/// Reads the answer of `pod/add`: by UID, nothing if the pod's containers are there, or why they are not.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn additions(output: &str) -> Result<BTreeMap<String, Option<String>>, BadAnswer> {
    let mut found = BTreeMap::new();
    for row in rows(output)? {
        let outcome = match row.kind() {
            "added" => None,
            "absent" => Some("the pod's directory is gone".to_owned()),
            "failed" => Some(row.rest(2)),
            _ => continue,
        };
        found.insert(row.field(1)?.to_owned(), outcome);
    }
    Ok(found)
}

/// Reads the answer of `batch/*/cancel`: the error of each pod whose cancellation failed.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn cancellations(output: &str) -> Result<BTreeMap<String, Option<String>>, BadAnswer> {
    let mut found = BTreeMap::new();
    for row in rows(output)? {
        match row.kind() {
            "cancelled" => found.insert(row.field(1)?.to_owned(), None),
            "failed" => found.insert(row.field(1)?.to_owned(), Some(row.rest(2))),
            _ => continue,
        };
    }
    Ok(found)
}

/// Facts (`fact␟KEY␟VALUE`) of a probe or check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts(pub BTreeMap<String, String>);

impl Facts {
    /// A fact's value; `None` if it is not known.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !matches!(*value, "-" | ""))
    }
}

/// A `partition` row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its name.
    pub name: String,
    /// Jobs that name no partition go here.
    pub default: bool,
    /// It takes jobs.
    pub up: bool,
    /// Number of nodes.
    pub nodes: u64,
    /// CPUs in all.
    pub cpus: u64,
    /// CPUs of its largest node.
    pub cpus_per_node: u64,
    /// Memory of its largest node, MiB.
    pub memory_per_node_mb: u64,
    /// Longest walltime of a job, seconds; `None` = no limit.
    pub max_walltime_s: Option<u64>,
    /// GPUs of its best equipped node.
    pub gpus_per_node: u64,
    /// The batch system's word for the kind of GPU.
    pub gpu_type: Option<String>,
}

/// Reads the answer of `batch/*/probe`.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn probe(output: &str) -> Result<(Facts, Vec<Partition>), BadAnswer> {
    let mut partitions = Vec::new();
    let all = rows(output)?;
    for row in all.iter().filter(|row| row.kind() == "partition") {
        partitions.push(Partition {
            name: row.field(1)?.to_owned(),
            default: row.field(2)? == "default",
            up: row.field(3)? == "up",
            nodes: row.number(4)?,
            cpus: row.number(5)?,
            cpus_per_node: row.number(6)?,
            memory_per_node_mb: row.number(7)?,
            max_walltime_s: row.optional_number(8)?,
            gpus_per_node: row.optional_number(9)?.unwrap_or(0),
            gpu_type: row.optional(10)?.map(str::to_owned),
        });
    }
    Ok((facts_of(&all)?, partitions))
}

/// Reads an answer that consists of facts.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn facts(output: &str) -> Result<Facts, BadAnswer> {
    facts_of(&rows(output)?)
}

fn facts_of(all: &[Row<'_>]) -> Result<Facts, BadAnswer> {
    let mut facts = BTreeMap::new();
    for row in all.iter().filter(|row| row.kind() == "fact") {
        facts.insert(row.field(1)?.to_owned(), row.rest(2));
    }
    Ok(Facts(facts))
}

/// Where the pod as a whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the contract's words")]
pub enum Stage {
    Starting,
    Running,
    Stopping,
    Ended,
}

/// Where a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the contract's words")]
pub enum ContainerStage {
    Waiting,
    Running,
    Terminated,
}

/// How a container's run ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ending {
    /// Seconds since 1970.
    pub started: Option<i64>,
    /// Seconds since 1970.
    pub finished: Option<i64>,
    /// Exit code.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// CamelCase.
    pub reason: Option<String>,
}

/// An `image` row: how the image of a container came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pull {
    /// Bytes that it takes, where that is known.
    pub size: Option<u64>,
    /// How long pulling it took, seconds; `None`: it was there.
    pub seconds: Option<u64>,
    /// The same with all waiting.
    pub waited_s: Option<u64>,
}

/// A `container` row with its `last` and `message` rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerReport {
    /// The container's name.
    pub name: String,
    /// It is an init container.
    pub init: bool,
    /// It is an init container that runs beside the others.
    pub sidecar: bool,
    /// Where it is.
    pub stage: ContainerStage,
    /// How often it was started again.
    pub restarts: i32,
    /// Start of the present run and, when terminated, how it ended. The reason of a waiting one is here as well.
    pub run: Ending,
    /// What the runtime calls the image it runs.
    pub image_id: Option<String>,
    /// How its image came, once it is there.
    pub pull: Option<Pull>,
    /// Words about the state.
    pub message: String,
    /// How the run before ended.
    pub last: Option<Ending>,
    /// What the container left in its termination message file.
    pub termination_message: Option<String>,
    /// The same of the run before, or why that one could not be started.
    pub last_message: Option<String>,
    /// It runs and has shown that it has started.
    pub started: bool,
    /// It runs and has shown that it can take work.
    pub ready: bool,
}

/// An `event` row: something that a kubelet would have told as an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedEvent {
    /// The number of the first report that had it.
    pub seq: u64,
    /// When it happened, seconds since 1970.
    pub time: i64,
    /// A warning, or what is expected.
    pub warning: bool,
    /// CamelCase.
    pub reason: String,
    /// Which container it is about.
    pub container: String,
    /// For a person.
    pub message: String,
}

/// A supervisor's report: the state of a whole pod at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The pod.
    pub uid: String,
    /// Newer reports have higher numbers.
    pub seq: u64,
    /// When it was written, seconds since 1970, by the compute node's clock.
    pub time: i64,
    /// The job that writes it.
    pub job: String,
    /// The compute node.
    pub host: String,
    /// The compute node's address, where it knows one.
    pub ip: Option<String>,
    /// Where the pod is.
    pub stage: Stage,
    /// Why, CamelCase.
    pub reason: Option<String>,
    /// Why, in words.
    pub message: String,
    /// Its containers, init containers first.
    pub containers: Vec<ContainerReport>,
    /// What happened last, the oldest first.
    pub events: Vec<ReportedEvent>,
}

/// Reads one report.
///
/// # Errors
/// The report is incomplete or does not fit the contract.
pub fn report(text: &str) -> Result<Report, BadAnswer> {
    let all = rows(text)?;
    let one = |kind: &str| {
        all.iter().find(|row| row.kind() == kind).ok_or_else(|| BadAnswer::Row {
            row: kind.to_owned(),
            why: "the report has no such row".to_owned(),
        })
    };
    let (pod, job, stage) = (one("pod")?, one("job")?, one("stage")?);
    let mut containers: Vec<ContainerReport> = Vec::new();
    let mut events = Vec::new();
    for row in &all {
        match row.kind() {
            "container" => containers.push(container(row)?),
            "event" => events.push(event(row)?),
            "last" | "message" | "last_message" | "unready" | "image" => {
                let name = row.field(1)?;
                let of = containers.iter_mut().find(|container| container.name == name);
                let of = of.ok_or_else(|| row.bad("it is about a container that the report does not have"))?;
                match row.kind() {
                    "last" => of.last = Some(ending(row, 2)?),
                    "image" => {
                        of.pull = Some(Pull {
                            size: row.optional_number(2)?,
                            seconds: row.optional_number(3)?,
                            waited_s: row.optional_number(4)?,
                        });
                    }
                    "unready" => {
                        of.started = row.field(2)? == "started";
                        of.ready = false;
                    }
                    kind => {
                        let message = if kind == "message" {
                            &mut of.termination_message
                        } else {
                            &mut of.last_message
                        };
                        let message = message.get_or_insert_default();
                        if !message.is_empty() {
                            message.push('\n');
                        }
                        message.push_str(&row.rest(2));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(Report {
        uid: pod.field(1)?.to_owned(),
        seq: pod.number(2)?,
        time: pod.number(3)?,
        job: job.field(1)?.to_owned(),
        host: job.field(3)?.to_owned(),
        ip: job.optional(4)?.map(str::to_owned),
        stage: match stage.field(1)? {
            "starting" => Stage::Starting,
            "running" => Stage::Running,
            "stopping" => Stage::Stopping,
            "ended" => Stage::Ended,
            other => return Err(stage.bad(format!("there is no stage {other:?}"))),
        },
        reason: stage.optional(2)?.map(str::to_owned),
        message: Some(stage.rest(3)).filter(|text| text != "-").unwrap_or_default(),
        containers,
        events,
    })
}

fn event(row: &Row<'_>) -> Result<ReportedEvent, BadAnswer> {
    Ok(ReportedEvent {
        seq: row.number(1)?,
        time: row.number(2)?,
        warning: row.field(3)? == "warning",
        reason: row.field(4)?.to_owned(),
        container: row.field(5)?.to_owned(),
        message: row.rest(6),
    })
}

fn container(row: &Row<'_>) -> Result<ContainerReport, BadAnswer> {
    let stage = match row.field(3)? {
        "waiting" => ContainerStage::Waiting,
        "running" => ContainerStage::Running,
        "terminated" => ContainerStage::Terminated,
        other => return Err(row.bad(format!("there is no container state {other:?}"))),
    };
    Ok(ContainerReport {
        name: row.field(1)?.to_owned(),
        init: matches!(row.field(2)?, "init" | "sidecar"),
        sidecar: row.field(2)? == "sidecar",
        stage,
        restarts: row.number(4)?,
        run: ending(row, 5)?,
        image_id: row.optional(10)?.map(str::to_owned),
        pull: None,
        message: Some(row.rest(11)).filter(|text| text != "-").unwrap_or_default(),
        last: None,
        termination_message: None,
        last_message: None,
        started: stage == ContainerStage::Running,
        ready: stage == ContainerStage::Running,
    })
}

fn ending(row: &Row<'_>, from: usize) -> Result<Ending, BadAnswer> {
    Ok(Ending {
        started: row.optional_number(from)?,
        finished: row.optional_number(from + 1)?,
        exit: row.optional_number(from + 2)?,
        signal: row.optional_number(from + 3)?,
        reason: row.optional(from + 4)?.map(str::to_owned),
    })
}

/// One look at the spool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// The newest readable report of each pod that sent one.
    pub reports: BTreeMap<String, Report>,
    /// Every report file that was returned, as the next look must name it: `NAME`, or `!NAME` if it could not be read.
    pub names: Vec<String>,
    /// Files that are not reports, and why.
    pub corrupt: Vec<(String, BadAnswer)>,
    /// Reports that did not fit into this answer.
    pub more: u64,
}

impl Look {
    /// The number of the oldest report of a pod that was returned.
    pub fn oldest(&self, uid: &str) -> Option<u64> {
        let of = |name: &String| {
            let (of, seq) = name.trim_start_matches('!').rsplit_once('.')?;
            seq.parse().ok().filter(|_| of == uid)
        };
        self.names.iter().filter_map(of).min()
    }
}

/// Reads the answer of `pod/look`. A corrupt report is a value in it, never an error of the whole look.
///
/// # Errors
/// The answer itself is incomplete or does not fit the contract.
pub fn look(output: &str) -> Result<Look, BadAnswer> {
    let mut files: Vec<(String, String)> = Vec::new();
    let mut look = Look::default();
    for row in rows(output)? {
        match row.kind() {
            "report" => {
                let (name, line) = (row.field(1)?, row.rest(2));
                match files.last_mut() {
                    Some((last, text)) if last == name => {
                        text.push_str(&line);
                        text.push('\n');
                    }
                    _ => files.push((name.to_owned(), line + "\n")),
                }
            }
            "more" => look.more = row.number(1)?,
            _ => {}
        }
    }
    for (name, text) in files {
        match named_report(&name, &text) {
            Ok(report) => {
                look.names.push(name);
                if look.reports.get(&report.uid).is_none_or(|known| known.seq < report.seq) {
                    look.reports.insert(report.uid.clone(), report);
                }
            }
            Err(error) => {
                look.names.push(format!("!{name}"));
                look.corrupt.push((name, error));
            }
        }
    }
    Ok(look)
}

/// A report must say what its file name says: UID and number.
fn named_report(name: &str, text: &str) -> Result<Report, BadAnswer> {
    let report = report(text)?;
    let fits = name
        .rsplit_once('.')
        .is_some_and(|(uid, seq)| uid == report.uid && seq.parse() == Ok(report.seq));
    if fits {
        Ok(report)
    } else {
        Err(BadAnswer::Row {
            row: name.to_owned(),
            why: format!("it holds report {} of pod {}", report.seq, report.uid),
        })
    }
}

/// A `pod` row of `pod/scan`, with the pod's newest report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedPod {
    /// The pod.
    pub uid: String,
    /// The job's id, if somebody heard it.
    pub job: Option<String>,
    /// The job that runs or ran the pod: `JOBID:RESTARTS`.
    pub claim: Option<String>,
    /// A submission was under way, or ended without an answer.
    pub submitting: bool,
    /// The pod was told to end.
    pub stop: bool,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its newest report, if it can be read.
    pub report: Option<Report>,
    /// The last words of supervisor and batch system, if the scan was about this pod.
    pub said: Option<String>,
    /// What its volumes from the API hold.
    pub content: Option<Content>,
}

/// Reads the answer of `pod/scan`.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn scan(output: &str) -> Result<BTreeMap<String, ScannedPod>, BadAnswer> {
    let all = rows(output)?;
    let mut pods = BTreeMap::new();
    let mut reports: BTreeMap<&str, String> = BTreeMap::new();
    for row in &all {
        match row.kind() {
            "pod" => {
                let pod = ScannedPod {
                    uid: row.field(1)?.to_owned(),
                    job: row.optional(2)?.map(str::to_owned),
                    claim: row.optional(3)?.map(str::to_owned),
                    submitting: row.optional(4)?.is_some(),
                    stop: row.optional(5)?.is_some(),
                    namespace: row.field(6)?.to_owned(),
                    name: row.field(7)?.to_owned(),
                    report: None,
                    said: None,
                    content: None,
                };
                pods.insert(pod.uid.clone(), pod);
            }
            "said" => {
                if let Some(pod) = pods.get_mut(row.field(1)?) {
                    pod.said = Some(row.rest(2)).filter(|text| !text.is_empty());
                }
            }
            "content" => {
                if let Some(pod) = pods.get_mut(row.field(1)?) {
                    pod.content = Content::parse(row.field(2)?);
                }
            }
            "report" => {
                let text = reports.entry(row.field(1)?).or_default();
                text.push_str(&row.rest(2));
                text.push('\n');
            }
            _ => {}
        }
    }
    for (uid, text) in reports {
        if let Some(pod) = pods.get_mut(uid) {
            pod.report = report(&text).ok().filter(|report| report.uid == uid);
        }
    }
    Ok(pods)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Writes a contract text with `|` for the separator.
    pub(crate) fn text(lines: &str) -> String {
        let body: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        format!("towline|1\n{}\nend|{}\n", body.join("\n"), body.len() + 1).replace('|', "\u{1f}")
    }

    fn sample(seq: u64) -> String {
        text(&format!(
            "pod|u-1|{seq}|1700000000
             job|42|0|c1|10.0.0.2
             stage|running|-|-
             container|setup|init|terminated|0|1|2|0|-|Completed|sha256:a|-
             container|main|main|running|1|5|-|-|-|-|sha256:b|
             last|main|3|4|137|9|Error
             message|setup|one
             message|setup|two"
        ))
    }

    #[test]
    fn what_volumes_hold_is_read() {
        let answer = text("updated|u-1|7 - v=aa\nabsent|u-2\nfailed|u-3|mv: no space");
        let found = updates(&answer).unwrap();
        let content = Content::parse("7 - v=aa").unwrap();
        assert_eq!(found["u-1"], Updated::Holds(content.clone()));
        assert_eq!(found["u-2"], Updated::Absent);
        assert_eq!(found["u-3"], Updated::Failed("mv: no space".into()));
        assert!(updates(&text("updated|u-1|-")).is_err());
        let scanned = scan(&text(
            "pod|u-1|42|-|-|-|ns|p\ncontent|u-1|7 - v=aa\npod|u-2|42|-|-|-|ns|q",
        ))
        .unwrap();
        assert_eq!(scanned["u-1"].content, Some(content));
        assert_eq!(scanned["u-2"].content, None);
    }

    #[test]
    fn a_report_is_read_whole() {
        let report = report(&sample(7)).unwrap();
        assert_eq!(
            (report.seq, report.host.as_str(), report.stage),
            (7, "c1", Stage::Running)
        );
        assert_eq!(report.containers[0].termination_message.as_deref(), Some("one\ntwo"));
        assert_eq!(report.containers[1].last.as_ref().unwrap().signal, Some(9));
        assert_eq!(report.containers[1].message, "");
    }

    #[test]
    fn what_has_not_shown_that_it_is_ready_is_not() {
        let text = text(
            "pod|u-1|7|1700000000
             job|42|0|c1|10.0.0.2
             stage|running|-|-
             container|side|sidecar|running|0|1|-|-|-|-|-|
             container|main|main|running|1|5|-|-|-|-|-|
             unready|main|-
             container|last|main|running|1|5|-|-|-|-|-|
             unready|last|started
             event|6|1699999999|warning|Unhealthy|main|Liveness probe failed: a|b",
        );
        let report = report(&text).unwrap();
        let shown: Vec<_> = report.containers.iter().map(|c| (c.started, c.ready)).collect();
        assert_eq!(shown, [(true, true), (false, false), (true, false)]);
        assert!(report.containers[0].init && report.containers[0].sidecar);
        let event = &report.events[0];
        assert!(event.warning && event.seq == 6);
        assert_eq!(event.container, "main");
        assert_eq!(event.message, "Liveness probe failed: a\u{1f}b");
    }

    #[test]
    fn the_newest_report_wins_and_a_corrupt_one_is_set_aside() {
        let mut body = String::new();
        for (name, report) in [
            ("u-1.00000002", sample(2)),
            ("u-1.00000001", sample(1)),
            ("u-2.00000001", sample(1)),
            ("u-3.00000001", "towline\u{1f}1\npod\u{1f}u-3".to_owned()),
        ] {
            for line in report.lines() {
                body.push_str(&format!("report|{name}|{line}\n"));
            }
        }
        let look = look(&text(&body)).unwrap();
        assert_eq!(look.reports["u-1"].seq, 2);
        assert_eq!(
            look.names,
            ["u-1.00000002", "u-1.00000001", "!u-2.00000001", "!u-3.00000001"]
        );
        assert_eq!(look.corrupt.len(), 2);
    }

    #[test]
    fn free_text_keeps_its_separators() {
        let refused = submissions(&text("refused|u|retry|QueueLimit|too|many")).unwrap();
        let Submission::Refused { retry, text, .. } = &refused["u"] else {
            panic!("{refused:?}")
        };
        assert!(retry);
        assert_eq!(text, "too\u{1f}many");
    }

    #[test]
    fn a_native_state_nobody_knows_is_a_value() {
        let jobs = jobs(&text("job|u|7|FLYING|-|-|-|-|-|-|FLYING")).unwrap();
        assert_eq!(jobs[0].state, JobState::Unknown);
        assert!(!jobs[0].state.ended());
    }

    proptest! {
        #[test]
        fn nothing_panics(body in "[a-z|0-9\n-]{0,200}") {
            let text = text(&body);
            let _ = (look(&text), scan(&text), jobs(&text), submissions(&text), report(&text), probe(&text));
        }
    }
}
