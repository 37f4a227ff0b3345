//! Ephemeral containers: those that are added to a pod while it waits or runs (`kubectl debug`).
//!
//! Each is translated as if it were the pod's only container, and sent into the pod's directory, where the supervisor takes
//! it in.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod};

use crate::bundle::Entry;
use crate::observed::{Directory, RemotePod};
use crate::translate::{self, Fault, References, Rejection, Site};

/// Those that a pod has been given.
pub fn of(pod: &Pod) -> &[EphemeralContainer] {
    let spec = pod.spec.as_ref();
    spec.and_then(|spec| spec.ephemeral_containers.as_deref())
        .unwrap_or_default()
}

/// An ephemeral container as one of the ordinary kind: it has the same fields, but for the container whose processes it
/// would like to see.
pub fn as_container(container: &EphemeralContainer) -> Container {
    let mut value = serde_json::to_value(container).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("targetContainerName");
    }
    // (The fields that are left have the same types.)
    serde_json::from_value(value).unwrap_or_default()
}

/// The pod as it would be with this container alone, and with the volumes that it mounts.
pub fn alone(pod: &Pod, container: &EphemeralContainer) -> Pod {
    let mut pod = pod.clone();
    if let Some(spec) = &mut pod.spec {
        let container = as_container(container);
        let mounted: BTreeSet<&String> = container
            .volume_mounts
            .iter()
            .flatten()
            .map(|mount| &mount.name)
            .collect();
        if let Some(volumes) = &mut spec.volumes {
            volumes.retain(|volume| mounted.contains(&volume.name));
        }
        spec.containers = vec![container];
        spec.init_containers = None;
        spec.ephemeral_containers = None;
    }
    pod
}

/// Those that can be sent to the cluster and are not known there; none if the pod is not there, or has ended. By their
/// places in the list.
pub fn missing(pod: &Pod, remote: &RemotePod) -> Vec<usize> {
    if remote.directory != Directory::There || remote.ended() {
        return Vec::new();
    }
    let known = remote.report.iter().flat_map(|report| &report.containers);
    let known: BTreeSet<&str> = known.map(|container| container.name.as_str()).collect();
    let all = of(pod).iter().enumerate();
    all.filter(|(_, container)| !known.contains(container.name.as_str()))
        .map(|(n, _)| n)
        .collect()
}

/// The files of the `n`-th one, in the pod's directory. `references` has what [`alone`] refers to.
///
/// # Errors
/// A [`Fault`], as of a pod.
pub fn translate(pod: &Pod, n: usize, references: &References, site: &Site) -> Result<BTreeMap<String, Entry>, Fault> {
    let Some(container) = of(pod).get(n) else {
        return Err(Fault::rejected(
            "InvalidPod",
            format!("there is no ephemeral container {n}"),
        ));
    };
    // (The list only grows, so each keeps its number.)
    let before = pod.spec.iter().flat_map(translate::containers).count();
    let target = container.target_container_name.as_deref();
    translate::added(&alone(pod, container), before + n, target, references, site).map_err(|fault| match fault {
        Fault::Rejected(Rejection { reason, message }) => Fault::Rejected(Rejection {
            reason,
            message: message.replace("containers[0]", &format!("ephemeralContainers[{n}]")),
        }),
        fault @ Fault::Incomplete { .. } => fault,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(ephemeral: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "n", "uid": "6f0c9a2e-1f7e-4c55-9f1d-0d8a6a3f3f10"},
            "spec": {
                "initContainers": [{"name": "first", "image": "busybox"}],
                "containers": [{"name": "main", "image": "busybox"}],
                "ephemeralContainers": ephemeral,
                "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "secret", "secret": {"secretName": "s"}}],
            },
        }))
        .unwrap()
    }

    fn text(entries: &BTreeMap<String, Entry>, path: &str) -> String {
        match entries.get(path) {
            Some(Entry::File(_, content)) => String::from_utf8(content.clone()).unwrap(),
            other => panic!("{path}: {other:?} in {:?}", entries.keys()),
        }
    }

    #[test]
    fn one_that_is_added_comes_behind_the_others_and_brings_nothing_else() {
        let pod = pod(json!([
            {"name": "a", "image": "busybox"},
            {"name": "debugger", "image": "busybox", "command": ["sh"], "stdin": true, "tty": true,
             "targetContainerName": "main", "env": [{"name": "A", "value": "b"}],
             "volumeMounts": [{"name": "scratch", "mountPath": "/s"}]},
        ]));
        let references = References::default();
        let entries = translate(&pod, 1, &references, &Site::default()).unwrap();
        let base = "containers/03-debugger";
        assert!(
            entries.keys().all(|path| path.starts_with(base)),
            "{:?}",
            entries.keys()
        );
        let container = text(&entries, &format!("{base}/container"));
        for line in ["kind=ephemeral\n", "stdin=open\n", "tty=1\n", "target=main\n"] {
            assert!(container.contains(line), "{line} in {container}");
        }
        assert_eq!(
            text(&entries, &format!("{base}/mounts")),
            "=volumes/scratch\n=/s\n=rw\n"
        );
        assert!(text(&entries, &format!("{base}/env")).contains("=A=b\n"));
    }

    #[test]
    fn what_it_needs_is_read_and_nothing_else() {
        let pod = pod(json!([{"name": "a", "image": "busybox",
            "env": [{"name": "K", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}]}]));
        let alone = alone(&pod, &of(&pod)[0]);
        let needs = translate::needs(&alone);
        assert_eq!(Vec::from_iter(needs.config_maps), ["c"]);
        assert!(needs.secrets.is_empty());
        let fault = translate(&pod, 0, &References::default(), &Site::default()).unwrap_err();
        assert_eq!(fault.message(), "configmap \"c\" not found");
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_its_own_name() {
        let pod = pod(json!([{"name": "a", "image": "busybox", "securityContext": {"privileged": true}}]));
        let fault = translate(&pod, 0, &References::default(), &Site::default()).unwrap_err();
        let wanted = "ephemeralContainers[0].securityContext.privileged";
        assert!(fault.message().contains(wanted), "{}", fault.message());
    }
}
