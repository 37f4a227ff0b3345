//! Volumes in the compute node's memory, and limits of what a pod may fill: the files `memory` and `limits`.
//!
//! The words are those of a kubelet's eviction. Source: `pkg/kubelet/eviction/eviction_manager.go` (`localStorageEviction`).

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume};

use crate::bundle::Bundle;
use crate::demand;
use crate::quantity;
use crate::translate::Fault;
use crate::words;

const STORAGE: &str = "ephemeral-storage";

/// Adds the two files, each if there is anything to say.
///
/// # Errors
/// A [`Fault`]: a quantity that is none.
pub fn add(bundle: &mut Bundle, spec: &PodSpec) -> Result<(), Fault> {
    let memory: Vec<&str> = empty_dirs(spec)
        .filter(|volume| is_memory(volume))
        .map(|volume| volume.name.as_str())
        .collect();
    if !memory.is_empty() {
        bundle.file("memory", words::encode(memory)?);
    }
    let limits = of(spec)?;
    if !limits.is_empty() {
        let words = limits
            .into_iter()
            .flat_map(|limit| [limit.bytes.to_string(), limit.message, limit.paths.join(" ")]);
        bundle.file("limits", words::encode(words)?);
    }
    Ok(())
}

/// Whether a volume lies in memory.
pub fn is_memory(volume: &Volume) -> bool {
    let medium = volume.empty_dir.as_ref().and_then(|source| source.medium.as_deref());
    medium == Some("Memory")
}

fn empty_dirs(spec: &PodSpec) -> impl Iterator<Item = &Volume> {
    let volumes = spec.volumes.iter().flatten();
    volumes.filter(|volume| volume.empty_dir.is_some())
}

/// More than so many bytes below these paths end the pod with this message.
#[derive(Debug, PartialEq, Eq)]
struct Limit {
    bytes: u64,
    message: String,
    /// Relative to the pod's directory. `scratch/…` is the node's place for what the pod's directory cannot hold.
    paths: Vec<String>,
}

fn of(spec: &PodSpec) -> Result<Vec<Limit>, Fault> {
    let mut limits = Vec::new();
    for volume in empty_dirs(spec) {
        let size = volume.empty_dir.as_ref().and_then(|source| source.size_limit.as_ref());
        let Some(size) = size else { continue };
        let bytes = bytes_of(&size.0, &format!("volume {}: sizeLimit", volume.name))?;
        // (As a kubelet does: none at all is no limit.)
        if bytes > 0 {
            limits.push(Limit {
                bytes,
                message: format!(
                    "Usage of EmptyDir volume \"{}\" exceeds the limit \"{}\".",
                    volume.name, size.0
                ),
                paths: vec![format!("volumes/{}", volume.name)],
            });
        }
    }
    let mut limited = false;
    let total = demand::at_once(spec, |container| {
        let own = storage(container)?;
        limited |= own.is_some();
        Ok::<_, Fault>(own.map_or(0, |(_, bytes)| bytes))
    })?;
    if limited {
        let all = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        let own = all.flat_map(|container| paths_of(&container.name));
        let on_disk = empty_dirs(spec).filter(|volume| !is_memory(volume));
        limits.push(Limit {
            bytes: total,
            message: format!(
                "Pod ephemeral local storage usage exceeds the total limit of containers {}.",
                written(total)
            ),
            paths: own
                .chain(on_disk.map(|volume| format!("volumes/{}", volume.name)))
                .collect(),
        });
    }
    for container in &spec.containers {
        let Some((text, bytes)) = storage(container)? else {
            continue;
        };
        let name = &container.name;
        limits.push(Limit {
            bytes,
            message: format!("Container {name} exceeded its local ephemeral storage limit \"{text}\"."),
            paths: paths_of(name).to_vec(),
        });
    }
    Ok(limits)
}

/// What a container writes where no volume is, and its logs.
fn paths_of(name: &str) -> [String; 3] {
    [
        format!("overlay/{name}"),
        format!("scratch/{name}"),
        format!("log/{name}"),
    ]
}

/// A container's limit, as it was written and in bytes.
fn storage(container: &Container) -> Result<Option<(&str, u64)>, Fault> {
    let resources = container.resources.as_ref();
    let limit = resources.and_then(|resources| resources.limits.as_ref()?.get(STORAGE));
    limit
        .map(|limit| {
            let bytes = bytes_of(&limit.0, &format!("container {}: {STORAGE}", container.name))?;
            Ok((limit.0.as_str(), bytes))
        })
        .transpose()
}

fn bytes_of(text: &str, what: &str) -> Result<u64, Fault> {
    quantity::units(text).map_err(|error| Fault::rejected("InvalidPod", format!("{what}: {error}")))
}

/// A number of bytes as a quantity.
fn written(bytes: u64) -> String {
    let units = [("Gi", 30), ("Mi", 20), ("Ki", 10)];
    let fits = units
        .iter()
        .find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    fits.map_or_else(
        || bytes.to_string(),
        |(unit, shift)| format!("{}{unit}", bytes >> shift),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::Entry;
    use serde_json::json;

    fn files(spec: serde_json::Value) -> (Option<Vec<String>>, Option<Vec<String>>) {
        let mut bundle = Bundle::default();
        add(&mut bundle, &serde_json::from_value(spec).unwrap()).unwrap();
        let read = |name: &str| match bundle.entries.get(name) {
            Some(Entry::File(_, content)) => words::decode(content),
            _ => None,
        };
        (read("memory"), read("limits"))
    }

    #[test]
    fn a_pod_without_limits_has_no_files() {
        let volumes = json!([{"name": "a", "emptyDir": {}}, {"name": "b", "emptyDir": {"sizeLimit": "0"}}]);
        assert_eq!(
            files(json!({"containers": [{"name": "c"}], "volumes": volumes})),
            (None, None)
        );
    }

    #[test]
    fn volumes_have_a_place_and_a_limit() {
        let volumes = json!([{"name": "a", "emptyDir": {"medium": "Memory", "sizeLimit": "1500k"}}, {"name": "b", "emptyDir": {"medium": "Memory"}}]);
        let (memory, limits) = files(json!({"containers": [{"name": "c"}], "volumes": volumes}));
        assert_eq!(memory.unwrap(), ["a", "b"]);
        assert_eq!(
            limits.unwrap(),
            [
                "1500000",
                "Usage of EmptyDir volume \"a\" exceeds the limit \"1500k\".",
                "volumes/a"
            ]
        );
    }

    #[test]
    fn storage_of_containers_is_limited_each_and_together() {
        let limited = |name: &str, size: &str| json!({"name": name, "resources": {"limits": {STORAGE: size}}});
        let spec = json!({
            "initContainers": [limited("i", "1Mi")],
            "containers": [limited("c", "1Mi"), limited("d", "2Mi"), {"name": "e"}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "m", "emptyDir": {"medium": "Memory"}}]
        });
        let limits = files(spec).1.unwrap();
        assert_eq!(limits[0], "3145728");
        assert_eq!(
            limits[1],
            "Pod ephemeral local storage usage exceeds the total limit of containers 3Mi."
        );
        assert!(limits[2].starts_with("overlay/c scratch/c log/c ") && limits[2].ends_with(" volumes/v"));
        assert_eq!(
            limits[3..6],
            [
                "1048576",
                "Container c exceeded its local ephemeral storage limit \"1Mi\".",
                "overlay/c scratch/c log/c"
            ]
        );
        assert_eq!(limits.len(), 9, "an init container has no limit of its own");
    }
}
