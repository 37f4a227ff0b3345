//! Which run of a container a request for its log means, by what its pod's status says. Source: the kubelet's
//! `validateContainerLogStatus`.

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

/// One run of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its id, as in the status.
    pub id: String,
    /// Counted from 0.
    pub number: i64,
}

/// Whether a pod has a container of this name, of whatever kind.
pub fn has_container(pod: &Pod, name: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let init = spec.init_containers.iter().flatten();
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let mut names = (spec.containers.iter().chain(init).map(|container| &container.name))
        .chain(ephemeral.map(|container| &container.name));
    names.any(|found| found == name)
}

/// Whether a container of this name runs.
pub fn runs(pod: &Pod, name: &str) -> bool {
    let state = status(pod, name).and_then(|status| status.state.as_ref());
    has_container(pod, name) && state.is_some_and(|state| state.running.is_some())
}

/// The run whose log is meant: the one that runs, else the last one that ended; `previous`: the one before the current.
///
/// # Errors
/// Words for the client if there is none.
pub fn run(pod: &Pod, container: &str, previous: bool) -> Result<Run, String> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let subject = format!("container {container:?} in pod {name:?}");
    let status = status(pod, container).ok_or_else(|| format!("{subject} is not available"))?;
    let state = status.state.clone().unwrap_or_default();
    let last = (status.last_state.as_ref()).and_then(|last| last.terminated.as_ref());
    let last_id = last.and_then(|last| last.container_id.as_deref()).filter(known);
    let id = match state {
        _ if previous => last_id.ok_or_else(|| format!("previous terminated {subject} not found"))?,
        ContainerState { running: Some(_), .. } => status.container_id.as_deref().unwrap_or_default(),
        ContainerState {
            terminated: Some(ref ended),
            ..
        } => (ended.container_id.as_deref().filter(known).or(last_id))
            .ok_or_else(|| format!("{subject} is terminated"))?,
        _ if last.is_some() => last_id.ok_or_else(|| format!("{subject} is terminated"))?,
        ContainerState {
            waiting: Some(waiting), ..
        } => {
            let why = match waiting.reason.as_deref().unwrap_or_default() {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                reason => reason,
            };
            return Err(format!("{subject} is waiting to start: {why}"));
        }
        _ => return Err(format!("{subject} is waiting to start - no logs yet")),
    };
    number(pod, container, id)
        .map(|number| Run {
            id: id.to_owned(),
            number,
        })
        .ok_or_else(|| unavailable(id))
}

/// Words for a log that is not there any more.
pub fn unavailable(id: &str) -> String {
    format!("unable to retrieve container logs for {id}")
}

fn known(id: &&str) -> bool {
    !id.is_empty()
}

fn status<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let mut all = (status.container_statuses.iter().flatten())
        .chain(status.init_container_statuses.iter().flatten())
        .chain(status.ephemeral_container_statuses.iter().flatten());
    all.find(|status| status.name == container)
}

/// The number of a run, which its id ends with: `towline://UID-NAME-NUMBER`.
fn number(pod: &Pod, container: &str, id: &str) -> Option<i64> {
    let uid = pod.metadata.uid.as_deref().filter(known)?;
    let (_, of) = id.split_once("://")?;
    let number = of.strip_prefix(uid)?.strip_prefix('-')?.strip_prefix(container)?;
    let digits = number.strip_prefix('-')?;
    digits.parse().ok().filter(|number| *number >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u-1"},
            "spec": {
                "containers": [{"name": "c"}],
                "initContainers": [{"name": "i"}],
                "ephemeralContainers": [{"name": "e"}],
            },
            "status": status,
        }))
        .unwrap()
    }

    fn with(status: Value) -> Pod {
        let mut container = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0});
        let fields = status.as_object().unwrap().clone();
        container.as_object_mut().unwrap().extend(fields);
        pod(json!({"containerStatuses": [container]}))
    }

    fn ended(id: &str) -> Value {
        json!({"terminated": {"exitCode": 1, "containerID": id}})
    }

    #[test]
    fn containers_of_every_kind_are_known() {
        let pod = pod(json!({}));
        assert!(["c", "i", "e"].iter().all(|name| has_container(&pod, name)));
        assert!(!has_container(&pod, "x") && !has_container(&pod, ""));
        assert!(!has_container(&Pod::default(), "c"));
    }

    #[test]
    fn the_current_run_is_the_one_that_runs_or_the_last_that_did() {
        let zero = "towline://u-1-c-0";
        let one = "towline://u-1-c-1";
        for (status, previous, expected) in [
            (json!({"state": {"running": {}}, "containerID": zero}), false, 0),
            (
                json!({"state": {"running": {}}, "containerID": one, "lastState": ended(zero)}),
                false,
                1,
            ),
            (
                json!({"state": {"running": {}}, "containerID": one, "lastState": ended(zero)}),
                true,
                0,
            ),
            (json!({"state": ended(one), "lastState": ended(zero)}), false, 1),
            (json!({"state": ended(one), "lastState": ended(zero)}), true, 0),
            (json!({"state": ended(""), "lastState": ended(one)}), false, 1),
            (
                json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(one)}),
                false,
                1,
            ),
            (
                json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended(one)}),
                true,
                1,
            ),
        ] {
            let found = run(&with(status.clone()), "c", previous).unwrap();
            assert_eq!(found.number, expected, "{status}");
        }
    }

    #[test]
    fn without_a_run_the_words_are_the_kubelets() {
        let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason}}});
        for (status, previous, words) in [
            (
                waiting("ContainerCreating"),
                false,
                "container \"c\" in pod \"p\" is waiting to start: ContainerCreating",
            ),
            (
                waiting("ErrImagePull"),
                false,
                "container \"c\" in pod \"p\" is waiting to start: image can't be pulled",
            ),
            (
                waiting("ImagePullBackOff"),
                false,
                "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image",
            ),
            (
                json!({}),
                false,
                "container \"c\" in pod \"p\" is waiting to start - no logs yet",
            ),
            (
                json!({"state": {"running": {}}, "containerID": "towline://u-1-c-0"}),
                true,
                "previous terminated container \"c\" in pod \"p\" not found",
            ),
            (
                json!({"state": ended("")}),
                false,
                "container \"c\" in pod \"p\" is terminated",
            ),
            (
                json!({"state": {"waiting": {}}, "lastState": ended("")}),
                false,
                "container \"c\" in pod \"p\" is terminated",
            ),
        ] {
            assert_eq!(run(&with(status), "c", previous), Err(words.to_owned()));
        }
        let none = run(&pod(json!({})), "i", false).unwrap_err();
        assert_eq!(none, "container \"i\" in pod \"p\" is not available");
    }

    #[test]
    fn an_id_that_is_not_ours_names_no_log() {
        for id in [
            "containerd://abc",
            "towline://u-2-c-0",
            "towline://u-1-cc-0",
            "towline://u-1-c-",
            "towline://u-1-c--1",
            "towline://u-1-c-1x",
            "",
        ] {
            let error = run(&with(json!({"state": {"running": {}}, "containerID": id})), "c", false).unwrap_err();
            assert_eq!(error, unavailable(id));
        }
    }
}
