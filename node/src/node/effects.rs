//! What a plan's entries do, each in a task of its own, and what came of it.
//!
//! An effect changes nothing in the agent's memory: its outcome is a value that the loop takes in.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use towline_apiserver::events::Recorder;
use towline_apiserver::pods::BoundPod;
use towline_apiserver::references::{ReferenceReader, Together};
use towline_apiserver::status::{self, Written};
use towline_apiserver::{Error as ApiError, Session};
use towline_cluster::{CancelMode, Cluster, Error as ClusterError};
use towline_core::answer::{Job, Look, Report, ScannedPod, Submission};
use towline_core::content::Content;
use towline_core::events;
use towline_core::renewal::Seen;
use towline_core::translate::Rejection;

use super::join::Joined;
use super::metrics::Metrics;
use super::prepare::{Prepared, Unready, prepare};
use super::renew::Renewed;
use super::site::NodeSite;

/// How many requests go to the API server at the same time.
const API_REQUESTS: usize = 32;

/// Everything that effects need; cheap to clone.
#[derive(Clone)]
pub struct Hands {
    /// The cluster.
    pub cluster: Cluster,
    /// One per node.
    pub sessions: Arc<Vec<Session>>,
    /// One per session, in the same order.
    pub nodes: Arc<Vec<NodeSite>>,
    /// Reads what pods refer to.
    pub references: ReferenceReader,
    /// Publishes events.
    pub recorder: Recorder,
    /// Told of each request to the cluster.
    pub metrics: Arc<Metrics>,
}

/// What became of one pod of a submission.
#[derive(Debug)]
pub enum Fate {
    /// It cannot run here, ever.
    Rejected(Rejection),
    /// Not now.
    Later {
        /// CamelCase.
        reason: String,
        /// For a person.
        message: String,
    },
    /// The cluster's answer.
    Answered(Submission),
    /// The cluster gave no usable answer: it is not known whether anything was taken.
    Unanswered {
        /// For a person.
        message: String,
    },
}

/// What came of an effect.
pub enum Outcome {
    /// The spool was read.
    Looked(Result<Look, ClusterError>),
    /// All directories were read.
    Scanned(Result<BTreeMap<String, ScannedPod>, ClusterError>),
    /// Some pods' directories were read again.
    Rescanned {
        /// Whose.
        uids: Vec<String>,
        /// What there is.
        result: Result<BTreeMap<String, ScannedPod>, ClusterError>,
    },
    /// The batch system was asked.
    Listed {
        /// What it says.
        result: Result<Vec<Job>, ClusterError>,
        /// How long it took: the sign that it is under load.
        took: Duration,
    },
    /// Pods were given to the batch system.
    Submitted {
        /// What became of each.
        fates: Vec<(String, Fate)>,
        /// What was sent of their volumes.
        volumes: BTreeMap<String, (Content, Seen)>,
    },
    /// Volumes of pods that wait or run were kept up to date.
    Renewed(Vec<Renewed>),
    /// Ephemeral containers were brought to their pods, or not.
    Joined(Vec<Joined>),
    /// Pods were told to end.
    Cancelled {
        /// With which grace in seconds.
        pods: Vec<(String, Option<u64>)>,
        /// By force.
        hard: bool,
        /// The error of each pod for which it failed.
        result: Result<BTreeMap<String, Option<String>>, ClusterError>,
    },
    /// Directories were deleted.
    Forgotten {
        /// Whose.
        uids: Vec<String>,
        /// Whether it worked.
        result: Result<(), ClusterError>,
    },
    /// The API was asked whether a pod is gone.
    Confirmed {
        /// The pod.
        uid: String,
        /// It is.
        result: Result<bool, ApiError>,
    },
    /// A pod's object was let go.
    Deleted {
        /// The pod.
        uid: String,
        /// Whether it worked.
        result: Result<(), ApiError>,
    },
    /// A status was written.
    Wrote {
        /// The pod.
        uid: String,
        /// The pod as it was, with the new status.
        pod: Box<Pod>,
        /// What became of it.
        result: Result<Written, ApiError>,
    },
}

impl Hands {
    /// Reads the spool; `done` are the reports that an earlier look returned.
    pub async fn look(self, done: Vec<String>) -> Outcome {
        let request = self.cluster.look(&done);
        Outcome::Looked(self.metrics.timed("look", request).await)
    }

    /// Reads all directories.
    pub async fn scan(self) -> Outcome {
        Outcome::Scanned(self.metrics.timed("scan", self.cluster.scan(&[])).await)
    }

    /// Reads these pods' directories.
    pub async fn rescan(self, uids: Vec<String>) -> Outcome {
        let result = self.metrics.timed("scan", self.cluster.scan(&uids)).await;
        Outcome::Rescanned { uids, result }
    }

    /// Asks the batch system.
    pub async fn list(self, jobs: Vec<String>) -> Outcome {
        let begun = Instant::now();
        let result = self.metrics.timed("list", self.cluster.list(&jobs)).await;
        Outcome::Listed {
            result,
            took: begun.elapsed(),
        }
    }

    /// Prepares pods and gives those that are ready to the batch system, all at once.
    pub async fn submit(self, pods: Vec<(String, BoundPod)>) -> Outcome {
        let mut fates = Vec::new();
        let mut bundles = Vec::new();
        let mut volumes = BTreeMap::new();
        let together = Arc::new(Together::default());
        let prepared = futures::stream::iter(pods)
            .map(|(uid, bound)| {
                let (hands, together) = (self.clone(), Arc::clone(&together));
                async move {
                    let (session, node) = (&hands.sessions[bound.session], &hands.nodes[bound.session]);
                    let preparation = prepare(&bound.pod, session, &hands.references, &together, node);
                    // One pod that trips over a defect of ours must not keep the others from running.
                    let result = AssertUnwindSafe(preparation).catch_unwind().await;
                    if let Ok(Ok(Prepared {
                        warning: Some(event), ..
                    })) = &result
                    {
                        hands.recorder.publish(session, &bound.pod, event);
                    }
                    (uid, result.unwrap_or_else(|_| Err(Unready::defect())))
                }
                .boxed()
            })
            .buffered(API_REQUESTS)
            .collect::<Vec<_>>()
            .await;
        for (uid, result) in prepared {
            match result {
                Ok(Prepared { bundle, seen, .. }) => {
                    volumes.extend(Content::of(&bundle).map(|content| (uid, (content, seen))));
                    bundles.push(bundle);
                }
                Err(Unready::Rejected(rejection)) => fates.push((uid, Fate::Rejected(rejection))),
                Err(Unready::Later { reason, message }) => fates.push((
                    uid,
                    Fate::Later {
                        reason: reason.to_owned(),
                        message,
                    },
                )),
            }
        }
        if !bundles.is_empty() {
            let result = self.metrics.timed("submit", self.cluster.submit(&bundles)).await;
            fates.extend(bundles.into_iter().map(|bundle| {
                let fate = fate(&bundle.uid, &result);
                (bundle.uid, fate)
            }));
        }
        Outcome::Submitted { fates, volumes }
    }

    /// Tells pods to end.
    pub async fn cancel(self, pods: Vec<(String, Option<u64>)>, hard: bool) -> Outcome {
        let mode = if hard { CancelMode::Hard } else { CancelMode::Soft };
        let result = self.metrics.timed("cancel", self.cluster.cancel(mode, &pods)).await;
        Outcome::Cancelled { pods, hard, result }
    }

    /// Deletes directories.
    pub async fn forget(self, uids: Vec<String>) -> Outcome {
        let result = self.metrics.timed("remove", self.cluster.remove(&uids)).await;
        Outcome::Forgotten { uids, result }
    }

    /// Asks the API for a pod that only the cluster has: gone is what is gone from every node of ours.
    pub async fn confirm(self, uid: String, namespace: String, name: String) -> Outcome {
        let mut result = Ok(true);
        for session in self.sessions.iter() {
            result = status::confirm_gone(session, &namespace, &name, &uid).await;
            if !matches!(result, Ok(true)) {
                break;
            }
        }
        Outcome::Confirmed { uid, result }
    }

    /// Lets a pod's object go.
    pub async fn delete(self, bound: BoundPod) -> Outcome {
        let metadata = &bound.pod.metadata;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let (namespace, name, uid) = (text(&metadata.namespace), text(&metadata.name), text(&metadata.uid));
        let session = &self.sessions[bound.session];
        let result = status::delete(session, &namespace, &name, &uid, 0).await;
        Outcome::Deleted { uid, result }
    }

    /// Writes a status, made of that report, and tells what led to it.
    pub async fn write(self, uid: String, bound: BoundPod, new: PodStatus, report: Option<Report>) -> Outcome {
        let session = &self.sessions[bound.session];
        let result = status::write(session, &bound.pod, &new).await;
        if matches!(result, Ok(Written::Done)) {
            for event in events::between(bound.pod.status.as_ref(), &new, report.as_ref()) {
                self.recorder.publish(session, &bound.pod, &event);
            }
        }
        let pod = Pod {
            status: Some(new),
            ..Pod::clone(&bound.pod)
        };
        Outcome::Wrote {
            uid,
            pod: Box::new(pod),
            result,
        }
    }
}

fn fate(uid: &str, result: &Result<BTreeMap<String, Submission>, ClusterError>) -> Fate {
    match result {
        Ok(answer) => match answer.get(uid) {
            Some(Submission::Refused {
                retry: false,
                reason,
                text,
            }) => Fate::Rejected(Rejection {
                reason: reason.clone(),
                message: text.clone(),
            }),
            Some(submission) => Fate::Answered(submission.clone()),
            None => Fate::Unanswered {
                message: "the answer of the submission does not mention the pod".to_owned(),
            },
        },
        Err(error) if !error.outcome_unknown() => Fate::Later {
            // (A script that ran has an exit code.)
            reason: error
                .exit_code()
                .map_or("ClusterUnreachable", |_| "UploadFailed")
                .to_owned(),
            message: error.to_string(),
        },
        Err(error) => Fate::Unanswered {
            message: error.to_string(),
        },
    }
}
