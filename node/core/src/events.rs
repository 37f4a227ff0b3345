//! The events that a change of status is worth, with the reasons that people know from a kubelet.
//!
//! Derived from two statuses, the one that the API has and the one that replaces it, so that a restart of the agent repeats
//! none. Source of the reasons: `pkg/kubelet/events/event.go`.

use k8s_openapi::api::core::v1::{ContainerStatus, PodSpec, PodStatus};

use crate::answer::{Pull, Report, ReportedEvent};
use crate::plan;
use crate::status::submitted;

/// An event about a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// It is a warning.
    pub warning: bool,
    /// CamelCase.
    pub reason: String,
    /// For a person.
    pub message: String,
    /// Which container it is about; `None`: the pod as a whole.
    pub container: Option<String>,
}

impl Event {
    /// An event that is no warning.
    pub fn normal(reason: &str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            reason: reason.to_owned(),
            message: message.into(),
            container: None,
        }
    }

    /// A warning.
    pub fn warning(reason: &str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            ..Self::normal(reason, message)
        }
    }

    /// The same about a container.
    #[must_use]
    pub fn of(self, container: &str) -> Self {
        Self {
            container: Some(container.to_owned()),
            ..self
        }
    }
}

impl From<ReportedEvent> for Event {
    fn from(event: ReportedEvent) -> Self {
        Self {
            warning: event.warning,
            reason: event.reason,
            message: event.message,
            container: Some(event.container),
        }
    }
}

/// The part of a pod's object that a container is, as events name it. Source: `pkg/kubelet/container/ref.go`.
pub fn field_path(spec: &PodSpec, container: &str) -> Option<String> {
    let main = spec.containers.iter().map(|one| (&one.name, "containers"));
    let init = spec.init_containers.iter().flatten();
    let init = init.map(|one| (&one.name, "initContainers"));
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let ephemeral = ephemeral.map(|one| (&one.name, "ephemeralContainers"));
    let (name, list) = main.chain(init).chain(ephemeral).find(|(name, _)| *name == container)?;
    Some(format!("spec.{list}{{{name}}}"))
}

/// The containers of a pod that is to end are told so.
pub fn stopping(status: Option<&PodStatus>) -> Vec<Event> {
    let running = status.map(all).unwrap_or_default().into_iter();
    let running = running.filter(|one| one.state.as_ref().is_some_and(|state| state.running.is_some()));
    running
        .map(|one| Event::normal("Killing", format!("Stopping container {}", one.name)).of(&one.name))
        .collect()
}

/// What a container's status says while its image is pulled, and an event of it.
pub fn pulling(image: &str) -> String {
    format!("Pulling image \"{image}\"")
}

/// The events that lead from one status to the next. `report` is what the newer one was made of, if it was one.
pub fn between(old: Option<&PodStatus>, new: &PodStatus, report: Option<&Report>) -> Vec<Event> {
    let mut events = Vec::new();
    if let Some(job) = submitted(new)
        && old.is_none_or(|old| submitted(old) != Some(job))
    {
        events.push(Event::normal(
            "Submitted",
            format!("Submitted to the batch system: {job}"),
        ));
    }
    let before = old.map(all).unwrap_or_default();
    // What the event above has said already.
    let mut said = submitted(new).map_or_else(String::new, plan::just_submitted);
    for container in all(new) {
        let old = before.iter().find(|before| before.name == container.name).copied();
        let reported = report.and_then(|report| report.containers.iter().find(|one| one.name == container.name));
        if !container.image_id.is_empty() && old.is_none_or(|old| old.image_id.is_empty()) {
            pulled(
                container,
                old,
                reported.and_then(|container| container.pull),
                &mut events,
            );
        }
        of_container(old, container, &mut said, &mut events);
    }
    let phase = |status: &PodStatus| status.phase.clone().unwrap_or_default();
    if phase(new) == "Failed"
        && old.is_none_or(|old| phase(old) != "Failed")
        && let Some(reason) = &new.reason
    {
        events.push(Event::warning(reason, new.message.clone().unwrap_or_default()));
    }
    events
}

fn all(status: &PodStatus) -> Vec<&ContainerStatus> {
    let lists = [
        &status.init_container_statuses,
        &status.container_statuses,
        &status.ephemeral_container_statuses,
    ];
    lists.into_iter().flatten().flatten().collect()
}

/// An image has come. The words are those of `pkg/kubelet/images/image_manager.go`.
fn pulled(new: &ContainerStatus, old: Option<&ContainerStatus>, pull: Option<Pull>, events: &mut Vec<Event>) {
    let ContainerStatus { name, image, .. } = new;
    let Some((pull, seconds)) = pull.and_then(|pull| Some((pull, pull.seconds?))) else {
        let message = format!("Container image \"{image}\" already present on machine");
        events.push(Event::normal("Pulled", message).of(name));
        return;
    };
    let pulling = pulling(image);
    let said = old.and_then(|old| old.state.as_ref()?.waiting.as_ref()?.message.as_ref());
    if said != Some(&pulling) {
        events.push(Event::normal("Pulling", pulling).of(name));
    }
    let duration = |seconds: u64| match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds}s"),
        (minutes, seconds) => format!("{minutes}m{seconds}s"),
    };
    let mut message = format!(
        "Successfully pulled image \"{image}\" in {} ({} including waiting).",
        duration(seconds),
        duration(pull.waited_s.unwrap_or(seconds))
    );
    if let Some(size) = pull.size {
        message.push_str(&format!(" Image size: {size} bytes."));
    }
    events.push(Event::normal("Pulled", message).of(name));
}

fn of_container(old: Option<&ContainerStatus>, new: &ContainerStatus, said: &mut String, events: &mut Vec<Event>) {
    let ContainerStatus { name, image, .. } = new;
    let state = new.state.clone().unwrap_or_default();
    let began = state.running.is_some()
        || state
            .terminated
            .as_ref()
            .is_some_and(|ended| ended.started_at.is_some());
    if began && new.container_id.is_some() && old.is_none_or(|old| old.container_id != new.container_id) {
        events.push(Event::normal("Created", format!("Created container: {name}")).of(name));
        events.push(Event::normal("Started", format!("Started container {name}")).of(name));
    }
    let Some(waiting) = state.waiting else {
        let ended = state.terminated.filter(|ended| {
            matches!(
                ended.reason.as_deref(),
                Some("ContainerCannotRun" | "CreateContainerError")
            ) && old.is_none_or(|old| old.state.as_ref().is_none_or(|state| state.terminated.is_none()))
        });
        if let Some(ended) = ended {
            let message = format!("Error: {}", ended.message.unwrap_or_default());
            events.push(Event::warning("Failed", message).of(name));
        }
        return;
    };
    let (reason, message) = (waiting.reason.unwrap_or_default(), waiting.message.unwrap_or_default());
    let earlier = old
        .and_then(|old| old.state.as_ref())
        .and_then(|state| state.waiting.as_ref());
    let same = earlier.is_some_and(|earlier| {
        earlier.reason.as_deref() == Some(&reason) && earlier.message.as_deref().unwrap_or_default() == message
    });
    if same {
        return;
    }
    let event = match reason.as_str() {
        "CrashLoopBackOff" => Event::warning("BackOff", format!("Back-off restarting failed container {name}")),
        "ErrImagePull" | "ErrImageNeverPull" => {
            Event::warning("Failed", format!("Failed to pull image \"{image}\": {message}"))
        }
        "ImagePullBackOff" => Event::normal("BackOff", format!("Back-off pulling image \"{image}\": {message}")),
        "CreateContainerConfigError" | "CreateContainerError" => Event::warning("Failed", format!("Error: {message}")),
        _ if message == pulling(image) => Event::normal("Pulling", message.clone()),
        // What the whole pod waits for is said once and not by each container.
        _ if message.is_empty() || *said == message => return,
        other => {
            events.push(match other {
                "ContainerCreating" | "PodInitializing" => Event::normal("Queued", message.clone()),
                other => Event::warning(other, message.clone()),
            });
            *said = message;
            return;
        }
    };
    *said = message;
    events.push(event.of(name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::SUBMITTED;
    use serde_json::json;

    fn status(state: serde_json::Value) -> PodStatus {
        let container = |name: &str| {
            json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
                "containerID": format!("towline://u-{name}-0")})
        };
        serde_json::from_value(json!({"phase": "Pending", "containerStatuses": [container("a"), container("b")]}))
            .unwrap()
    }

    fn reasons(events: &[Event]) -> Vec<&str> {
        events.iter().map(|event| event.reason.as_str()).collect()
    }

    #[test]
    fn what_the_pod_waits_for_is_said_once() {
        let new = status(json!({"waiting": {"reason": "QueueLimit", "message": "too many jobs"}}));
        assert_eq!(reasons(&between(None, &new, None)), ["QueueLimit"]);
        assert!(between(Some(&new), &new, None).is_empty());
    }

    #[test]
    fn a_start_is_told_for_each_container_and_run() {
        let old = status(json!({"waiting": {"reason": "ContainerCreating"}}));
        let mut before = old.clone();
        for container in before.container_statuses.as_mut().unwrap() {
            container.container_id = None;
        }
        let new = status(json!({"running": {}}));
        assert_eq!(
            reasons(&between(Some(&before), &new, None)),
            ["Created", "Started", "Created", "Started"]
        );
        assert!(between(Some(&new), &new, None).is_empty());
    }

    #[test]
    fn what_happens_to_a_container_is_told_of_that_one() {
        let new = status(json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}));
        let told: Vec<_> = between(None, &new, None)
            .into_iter()
            .map(|event| event.container)
            .collect();
        assert_eq!(told, [Some("a".to_owned()), Some("b".to_owned())]);
        let queued = status(json!({"waiting": {"reason": "QueueLimit", "message": "too many jobs"}}));
        assert_eq!(between(None, &queued, None)[0].container, None);
        let running = status(json!({"running": {}}));
        let told = stopping(Some(&running));
        assert_eq!(told[1], Event::normal("Killing", "Stopping container b").of("b"));
        assert!(stopping(Some(&queued)).is_empty());
    }

    #[test]
    fn a_container_is_named_by_its_place_in_the_pod() {
        let named = |name: &str| json!([{"name": name, "image": "i"}]);
        let spec = json!({"containers": named("a"), "initContainers": named("b"), "ephemeralContainers": named("c")});
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        let path = |name: &str| field_path(&spec, name);
        assert_eq!(path("a").as_deref(), Some("spec.containers{a}"));
        assert_eq!(path("b").as_deref(), Some("spec.initContainers{b}"));
        assert_eq!(path("c").as_deref(), Some("spec.ephemeralContainers{c}"));
        assert_eq!(path("d"), None);
    }

    #[test]
    fn a_failure_of_the_whole_pod_is_a_warning_with_its_reason() {
        let old = status(json!({"running": {}}));
        let new = PodStatus {
            phase: Some("Failed".into()),
            reason: Some("NodeFailure".into()),
            ..old.clone()
        };
        let events = between(Some(&old), &new, None);
        assert_eq!(reasons(&events), ["NodeFailure"]);
        assert!(events[0].warning);
    }

    #[test]
    fn a_submission_is_told_once() {
        let mut new = status(json!({"waiting": {"reason": "ContainerCreating", "message": "job 7 was submitted"}}));
        new.conditions =
            serde_json::from_value(json!([{"type": SUBMITTED, "status": "True", "message": "job 7"}])).unwrap();
        assert_eq!(reasons(&between(None, &new, None)), ["Submitted"]);
        let queued = status(json!({"waiting": {"reason": "ContainerCreating", "message": "job 7 waits: PENDING"}}));
        let queued = PodStatus {
            conditions: new.conditions.clone(),
            ..queued
        };
        assert_eq!(reasons(&between(Some(&new), &queued, None)), ["Queued"]);
    }

    #[test]
    fn a_submission_is_told_with_its_job() {
        let new: PodStatus =
            serde_json::from_value(json!({"conditions": [{"type": SUBMITTED, "status": "True", "message": "job 7"}]}))
                .unwrap();
        assert_eq!(
            between(None, &new, None)[0].message,
            "Submitted to the batch system: job 7"
        );
    }

    #[test]
    fn the_pull_of_an_image_is_told_as_a_kubelet_tells_it() {
        let with = |image_id: &str, message: &str| -> PodStatus {
            let state = if image_id.is_empty() {
                json!({"waiting": {"reason": "ContainerCreating", "message": message}})
            } else {
                json!({"waiting": {"reason": "PodInitializing"}})
            };
            let container = json!({"name": "a", "image": "i:1", "imageID": image_id, "ready": false, "restartCount": 0, "state": state});
            serde_json::from_value(json!({"phase": "Pending", "containerStatuses": [container]})).unwrap()
        };
        let report = |row: &str| {
            let rows = format!(
                "pod|u|1|5\njob|7|0|c1|-\nstage|starting|-|\ncontainer|a|main|waiting|0|-|-|-|-|-|i@sha256:0|\n{row}"
            );
            crate::answer::report(&crate::answer::tests::text(&rows)).unwrap()
        };
        let tell = |old: &PodStatus, new: &PodStatus, row: &str| -> Vec<(String, String)> {
            let events = between(Some(old), new, Some(&report(row)));
            events.into_iter().map(|event| (event.reason, event.message)).collect()
        };
        let pair = |reason: &str, message: &str| (reason.to_owned(), message.to_owned());
        let (before, pulls, there) = (with("", ""), with("", "Pulling image \"i:1\""), with("i@sha256:0", ""));
        assert_eq!(tell(&before, &pulls, ""), [pair("Pulling", "Pulling image \"i:1\"")]);
        assert!(tell(&pulls, &pulls, "").is_empty());
        let done = pair(
            "Pulled",
            "Successfully pulled image \"i:1\" in 3s (1m5s including waiting). Image size: 2048 bytes.",
        );
        assert_eq!(tell(&pulls, &there, "image|a|2048|3|65"), std::slice::from_ref(&done));
        // So fast that nobody saw it.
        assert_eq!(
            tell(&before, &there, "image|a|2048|3|65"),
            [pair("Pulling", "Pulling image \"i:1\""), done]
        );
        assert_eq!(
            tell(&before, &there, "image|a|2048|-|0"),
            [pair("Pulled", "Container image \"i:1\" already present on machine")]
        );
    }
}
