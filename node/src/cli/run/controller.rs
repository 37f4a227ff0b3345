//! Which pods a Pod or a Job of a file needs next, and when it is over.
//!
//! Source for Jobs: `pkg/controller/job/job_controller.go` (`manageJob`, `syncJob`) and `indexed_job_utils.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::bail;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use crate::cli::manifest::{Work, name_of, namespace, suffix, uid};

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// How long to wait after the n-th failure in a row.
const BACK_OFF: Duration = Duration::from_secs(10);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(600);

/// Fields of a Job that are honoured; any other is refused by name.
const HONOURED: &[&str] = &[
    "template",
    "completions",
    "parallelism",
    "completionMode",
    "backoffLimit",
    "activeDeadlineSeconds",
    // What is left of an attached run is removed at its end; otherwise `gc` does it.
    "ttlSecondsAfterFinished",
];

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Complete,
    Failed { reason: &'static str },
}

/// A Pod or a Job on its way.
#[derive(Debug)]
pub struct Controller {
    pub name: String,
    pub namespace: String,
    template: Pod,
    job: Option<Rules>,
    /// The pods that are under way, and their index.
    active: BTreeMap<String, Option<u32>>,
    created: u32,
    succeeded: u32,
    succeeded_indexes: BTreeSet<u32>,
    failed: u32,
    pause_until: Duration,
    failures_in_a_row: u32,
}

#[derive(Debug)]
struct Rules {
    uid: String,
    /// `None`: a work queue, complete when one pod has succeeded and all have ended.
    completions: Option<u32>,
    parallelism: u32,
    indexed: bool,
    backoff_limit: u32,
    deadline: Option<Duration>,
}

impl Controller {
    /// # Errors
    /// What a Job asks for and cannot have.
    pub fn new(work: Work) -> anyhow::Result<Self> {
        match work {
            Work::Pod(pod) => {
                let name = name_of(&pod.metadata, "Pod")?;
                Ok(Self::with(name, namespace(&pod.metadata), *pod, None))
            }
            Work::Job(job) => {
                let name = name_of(&job.metadata, "Job")?;
                let namespace = namespace(&job.metadata);
                let (rules, template) = rules(&name, *job)?;
                Ok(Self::with(name, namespace, template, Some(rules)))
            }
        }
    }

    fn with(name: String, namespace: String, template: Pod, job: Option<Rules>) -> Self {
        Self {
            name,
            namespace,
            template,
            job,
            active: BTreeMap::new(),
            created: 0,
            succeeded: 0,
            succeeded_indexes: BTreeSet::new(),
            failed: 0,
            pause_until: Duration::ZERO,
            failures_in_a_row: 0,
        }
    }

    /// The pods to start now. `now`: since the beginning of the run.
    pub fn next(&mut self, now: Duration) -> Vec<Pod> {
        if self.verdict(now).is_some() || now < self.pause_until {
            return Vec::new();
        }
        let wanted: Vec<Option<u32>> = match &self.job {
            None => {
                if self.created == 0 {
                    vec![None]
                } else {
                    Vec::new()
                }
            }
            Some(rules) => {
                let running = u32::try_from(self.active.len()).unwrap_or(u32::MAX);
                let free = rules.parallelism.saturating_sub(running);
                match rules.completions {
                    // One success says that the queue is empty: nobody new is needed.
                    None if self.succeeded > 0 => Vec::new(),
                    None => vec![None; free as usize],
                    Some(all) if rules.indexed => {
                        let busy: BTreeSet<u32> = self.active.values().copied().flatten().collect();
                        let open = (0..all).filter(|n| !busy.contains(n) && !self.succeeded_indexes.contains(n));
                        open.take(free as usize).map(Some).collect()
                    }
                    Some(all) => vec![None; free.min(all.saturating_sub(self.succeeded + running)) as usize],
                }
            }
        };
        wanted.into_iter().map(|index| self.pod(index)).collect()
    }

    fn pod(&mut self, index: Option<u32>) -> Pod {
        let mut pod = self.template.clone();
        let uid = uid();
        if let Some(rules) = &self.job {
            let name = index.map_or_else(|| self.name.clone(), |index| format!("{}-{index}", self.name));
            pod.metadata.name = Some(format!("{}-{}", cut(&name, 57), suffix()));
            let labels = pod.metadata.labels.get_or_insert_default();
            for (key, value) in [
                (JOB_NAME, &self.name),
                (CONTROLLER_UID, &rules.uid),
                ("job-name", &self.name),
                ("controller-uid", &rules.uid),
            ] {
                labels.insert(key.to_owned(), value.clone());
            }
            if let Some(index) = index {
                labels.insert(INDEX.to_owned(), index.to_string());
                pod.metadata
                    .annotations
                    .get_or_insert_default()
                    .insert(INDEX.to_owned(), index.to_string());
                add_index(pod.spec.get_or_insert_default(), &name);
            }
        } else {
            pod.metadata.name = Some(self.name.clone());
        }
        pod.metadata.namespace = Some(self.namespace.clone());
        pod.metadata.uid = Some(uid.clone());
        self.active.insert(uid, index);
        self.created += 1;
        pod
    }

    /// A pod is over. `now`: since the beginning of the run.
    pub fn ended(&mut self, uid: &str, success: bool, now: Duration) {
        let Some(index) = self.active.remove(uid) else { return };
        if success {
            self.succeeded += 1;
            self.succeeded_indexes.extend(index);
            self.failures_in_a_row = 0;
        } else {
            self.failed += 1;
            let doubled = BACK_OFF.saturating_mul(1 << self.failures_in_a_row.min(10));
            self.pause_until = now + doubled.min(LONGEST_BACK_OFF);
            self.failures_in_a_row += 1;
        }
    }

    /// How it ended, if it has. Pods that are still under way then are no longer needed.
    pub fn verdict(&self, now: Duration) -> Option<Verdict> {
        let Some(rules) = &self.job else {
            return match (self.succeeded, self.failed) {
                (0, 0) => None,
                (0, _) => Some(Verdict::Failed { reason: "Failed" }),
                _ => Some(Verdict::Complete),
            };
        };
        if self.failed > rules.backoff_limit {
            return Some(Verdict::Failed {
                reason: "BackoffLimitExceeded",
            });
        }
        let complete = match rules.completions {
            Some(all) => self.succeeded >= all,
            None => self.succeeded > 0 && self.active.is_empty(),
        };
        if complete {
            return Some(Verdict::Complete);
        }
        let late = rules.deadline.is_some_and(|deadline| now >= deadline);
        late.then_some(Verdict::Failed {
            reason: "DeadlineExceeded",
        })
    }

    pub fn is_job(&self) -> bool {
        self.job.is_some()
    }

    /// How many containers write a log.
    pub fn containers(&self) -> usize {
        let spec = self.template.spec.as_ref();
        spec.map_or(0, |spec| {
            spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len)
        })
    }

    /// It runs without anybody who starts further pods.
    pub fn runs_by_itself(&self) -> bool {
        self.job
            .as_ref()
            .is_none_or(|rules| rules.completions.is_none_or(|all| all <= rules.parallelism))
    }

    /// Its containers are started again for ever, whatever their exit code.
    pub fn never_ends(&self) -> bool {
        let policy = self
            .template
            .spec
            .as_ref()
            .and_then(|spec| spec.restart_policy.as_deref());
        self.job.is_none() && matches!(policy, None | Some("Always"))
    }
}

fn cut(text: &str, longest: usize) -> &str {
    text.get(..longest.min(text.len()))
        .unwrap_or(text)
        .trim_end_matches(['-', '.'])
}

/// As the job controller does it: the index in the environment of every container, and a host name of its own.
fn add_index(spec: &mut PodSpec, hostname: &str) {
    let variable = EnvVar {
        name: "JOB_COMPLETION_INDEX".to_owned(),
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: format!("metadata.annotations['{INDEX}']"),
                ..ObjectFieldSelector::default()
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    };
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        let env = container.env.get_or_insert_default();
        if env.iter().all(|known| known.name != variable.name) {
            env.push(variable.clone());
        }
    }
    spec.hostname.get_or_insert_with(|| cut(hostname, 63).to_owned());
}

fn rules(name: &str, job: Job) -> anyhow::Result<(Rules, Pod)> {
    let Some(spec) = job.spec else {
        bail!("Job {name} has no spec")
    };
    if let Value::Object(fields) = serde_json::to_value(&spec)? {
        let asked = |value: &Value| !matches!(value, Value::Null | Value::Bool(false));
        let refused: Vec<String> = fields
            .iter()
            .filter(|(key, value)| !HONOURED.contains(&key.as_str()) && asked(value))
            .map(|(key, _)| format!("spec.{key}"))
            .collect();
        if !refused.is_empty() {
            bail!(
                "Job {name} asks for what only Kubernetes can give it: {}",
                refused.join(", ")
            );
        }
    }
    let JobSpec {
        template,
        completions,
        parallelism,
        completion_mode,
        backoff_limit,
        active_deadline_seconds,
        ..
    } = spec;
    let count = |key: &str, value: Option<i32>| {
        let read =
            |value: i32| u32::try_from(value).map_err(|_| anyhow::anyhow!("Job {name}: {key} is negative: {value}"));
        value.map(read).transpose()
    };
    let completions = count("completions", completions)?;
    let parallelism_asked = count("parallelism", parallelism)?;
    let indexed = match completion_mode.as_deref() {
        None | Some("NonIndexed") => false,
        Some("Indexed") if completions.is_none() => bail!("Job {name}: completionMode Indexed needs completions"),
        Some("Indexed") => true,
        Some(other) => bail!("Job {name}: there is no completionMode {other:?}: write NonIndexed or Indexed"),
    };
    if parallelism_asked == Some(0) {
        bail!("Job {name}: with parallelism 0 it never starts");
    }
    let template_spec = template.spec.unwrap_or_default();
    let policy = template_spec.restart_policy.as_deref().unwrap_or("Always");
    if !matches!(policy, "Never" | "OnFailure") {
        bail!("Job {name}: the template's restartPolicy has to be Never or OnFailure, not {policy}");
    }
    let rules = Rules {
        uid: uid(),
        // As the API server fills it in.
        completions: if completions.is_none() && parallelism_asked.is_none() {
            Some(1)
        } else {
            completions
        },
        parallelism: parallelism_asked.unwrap_or(1),
        indexed,
        backoff_limit: count("backoffLimit", backoff_limit)?.unwrap_or(6),
        deadline: active_deadline_seconds
            .map(|seconds| {
                u64::try_from(seconds)
                    .map(Duration::from_secs)
                    .map_err(|_| anyhow::anyhow!("Job {name}: activeDeadlineSeconds is negative: {seconds}"))
            })
            .transpose()?,
    };
    let metadata = template.metadata.unwrap_or_default();
    let pod = Pod {
        metadata: ObjectMeta {
            labels: metadata.labels,
            annotations: metadata.annotations,
            ..ObjectMeta::default()
        },
        spec: Some(template_spec),
        ..Pod::default()
    };
    Ok((rules, pod))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    fn job(spec: serde_json::Value) -> anyhow::Result<Controller> {
        let mut spec = spec;
        if spec.get("template").is_none() {
            spec["template"] = serde_json::json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}});
        }
        let job: Job = serde_json::from_value(serde_json::json!({"metadata": {"name": "j"}, "spec": spec})).unwrap();
        Controller::new(Work::Job(Box::new(job)))
    }

    fn uids(pods: &[Pod]) -> Vec<String> {
        pods.iter().map(|pod| pod.metadata.uid.clone().unwrap()).collect()
    }

    #[test]
    fn an_indexed_job_runs_each_index_once_and_no_more_than_allowed_at_a_time() {
        let mut job =
            job(serde_json::json!({"completions": 3, "parallelism": 2, "completionMode": "Indexed"})).unwrap();
        let first = job.next(START);
        assert_eq!(first.len(), 2);
        assert!(job.next(START).is_empty());
        let pod = &first[1];
        assert_eq!(pod.metadata.annotations.as_ref().unwrap()[INDEX], "1");
        assert!(pod.metadata.name.as_ref().unwrap().starts_with("j-1-"));
        let spec = pod.spec.as_ref().unwrap();
        assert_eq!(spec.hostname.as_deref(), Some("j-1"));
        assert_eq!(spec.containers[0].env.as_ref().unwrap()[0].name, "JOB_COMPLETION_INDEX");
        let first = uids(&first);
        job.ended(&first[0], true, START);
        let second = job.next(START);
        assert_eq!(second[0].metadata.annotations.as_ref().unwrap()[INDEX], "2");
        for uid in [&first[1], &uids(&second)[0]] {
            assert_eq!(job.verdict(START), None);
            job.ended(uid, true, START);
        }
        assert_eq!(job.verdict(START), Some(Verdict::Complete));
        assert!(job.next(START).is_empty());
    }

    #[test]
    fn a_failed_pod_is_replaced_later_and_later_until_the_limit() {
        let mut job = job(serde_json::json!({"backoffLimit": 2})).unwrap();
        let mut now = START;
        for pause in [10, 20] {
            let pods = job.next(now);
            assert_eq!(pods.len(), 1);
            job.ended(&uids(&pods)[0], false, now);
            assert!(job.next(now + Duration::from_secs(pause - 1)).is_empty());
            now += Duration::from_secs(pause);
        }
        let pods = job.next(now);
        job.ended(&uids(&pods)[0], false, now);
        let verdict = job.verdict(now);
        assert_eq!(
            verdict,
            Some(Verdict::Failed {
                reason: "BackoffLimitExceeded"
            })
        );
    }

    #[test]
    fn a_work_queue_is_complete_when_all_have_ended_and_one_has_succeeded() {
        let mut job = job(serde_json::json!({"parallelism": 2})).unwrap();
        let pods = uids(&job.next(START));
        assert_eq!(pods.len(), 2);
        job.ended(&pods[0], true, START);
        assert!(job.next(START).is_empty() && job.verdict(START).is_none());
        job.ended(&pods[1], true, START);
        assert_eq!(job.verdict(START), Some(Verdict::Complete));
    }

    #[test]
    fn a_job_has_a_deadline() {
        let mut job = job(serde_json::json!({"activeDeadlineSeconds": 5})).unwrap();
        job.next(START);
        assert_eq!(job.verdict(Duration::from_secs(4)), None);
        let verdict = job.verdict(Duration::from_secs(5));
        assert_eq!(
            verdict,
            Some(Verdict::Failed {
                reason: "DeadlineExceeded"
            })
        );
    }

    #[test]
    fn what_only_kubernetes_can_give_is_refused_by_name() {
        let said = |spec| job(spec).unwrap_err().to_string();
        assert!(said(serde_json::json!({"suspend": true})).contains("spec.suspend"));
        assert!(said(serde_json::json!({"backoffLimitPerIndex": 1})).contains("spec.backoffLimitPerIndex"));
        assert!(said(serde_json::json!({"template": {"spec": {"containers": []}}})).contains("restartPolicy"));
        assert!(said(serde_json::json!({"completionMode": "Indexed"})).contains("needs completions"));
        assert!(job(serde_json::json!({"suspend": false, "ttlSecondsAfterFinished": 5})).is_ok());
    }

    #[test]
    fn a_pod_runs_once() {
        let pod: Pod =
            serde_json::from_value(serde_json::json!({"metadata": {"name": "p"}, "spec": {"containers": []}})).unwrap();
        let mut pod = Controller::new(Work::Pod(Box::new(pod))).unwrap();
        assert!(pod.never_ends());
        let started = pod.next(START);
        assert_eq!(started[0].metadata.name.as_deref(), Some("p"));
        pod.ended(&uids(&started)[0], false, START);
        assert_eq!(pod.verdict(START), Some(Verdict::Failed { reason: "Failed" }));
        assert!(pod.next(Duration::from_secs(600)).is_empty());
    }
}
