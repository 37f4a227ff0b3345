//! Volumes that are paths of the cluster: hostPath, and persistent volumes by the site's rules.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec, Pod, Volume};

use crate::policy::{Policy, below};
use crate::translate::{Fault, References};

/// A path of the cluster that a pod may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A directory that the site has opened, and what is looked for in it: no link may lead from the second out of the first.
    pub root: String,
    /// Below the root; empty for the root itself.
    pub part: String,
    /// For reading only.
    pub read_only: bool,
    /// What has to be there: `directory`, `file`, `socket`, `make` (a directory is made if nothing is there), or nothing.
    pub kind: &'static str,
}

/// The name of the claim that a volume uses, if it uses one.
pub fn claim(pod: &Pod, volume: &Volume) -> Option<String> {
    let own = volume
        .persistent_volume_claim
        .as_ref()
        .map(|source| source.claim_name.clone());
    own.or_else(|| {
        volume.ephemeral.as_ref()?;
        Some(format!("{}-{}", pod.metadata.name.as_deref()?, volume.name))
    })
}

/// Where a volume is, if it is a path of the cluster.
///
/// # Errors
/// A [`Fault`]: the claim is not there or not bound yet, or the site has no place for it.
pub fn of(pod: &Pod, volume: &Volume, references: &References, policy: &Policy) -> Result<Option<Place>, Fault> {
    let refuse = |why: &str| Fault::rejected("UnsupportedVolume", format!("volume {}: {why}", volume.name));
    if let Some(source) = &volume.host_path {
        let kind = match source.type_.as_deref().unwrap_or_default() {
            "" => "",
            "DirectoryOrCreate" => "make",
            "Directory" => "directory",
            "File" => "file",
            "Socket" => "socket",
            other => return Err(refuse(&format!("a hostPath of type {other} is not supported"))),
        };
        let path = clean(&source.path)
            .ok_or_else(|| refuse(&format!("{:?} is no absolute path without `..`", source.path)))?;
        let open = policy
            .host_paths
            .iter()
            .find_map(|open| Some((open, below(&path, &open.path)?)));
        let Some((open, part)) = open else {
            let open: Vec<&str> = policy.host_paths.iter().map(|open| open.path.as_str()).collect();
            let open = if open.is_empty() {
                "none".to_owned()
            } else {
                open.join(", ")
            };
            return Err(refuse(&format!(
                "the site opens no directory for hostPath {path}; it opens {open} (policy.hostPaths)"
            )));
        };
        return Ok(Some(Place {
            root: open.path.clone(),
            part: part.to_owned(),
            read_only: open.read_only,
            // (Nothing is made in what the site opens for reading only.)
            kind: if open.read_only && kind == "make" {
                "directory"
            } else {
                kind
            },
        }));
    }
    let Some(name) = claim(pod, volume) else {
        return Ok(None);
    };
    let wait = |why: &str| Fault::incomplete(format!("volume {}: {why}", volume.name));
    let claim = references
        .claims
        .get(&name)
        .ok_or_else(|| wait(&format!("persistentvolumeclaim \"{name}\" not found")))?;
    if volume.ephemeral.is_some() && !is_owned_by(claim, pod) {
        return Err(wait(&format!(
            "persistentvolumeclaim \"{name}\" was not made for this pod"
        )));
    }
    let bound = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let Some(bound) = bound.filter(|name| !name.is_empty() && phase == Some("Bound")) else {
        return Err(wait(&format!("persistentvolumeclaim \"{name}\" is not bound yet")));
    };
    let found = references
        .persistent_volumes
        .get(bound)
        .ok_or_else(|| wait(&format!("persistentvolume \"{bound}\" not found")))?;
    let mut place = of_persistent(found, claim, policy).map_err(|why| refuse(&why))?;
    let source = volume.persistent_volume_claim.as_ref();
    place.read_only |= source.and_then(|source| source.read_only).unwrap_or(false);
    Ok(Some(place))
}

fn is_owned_by(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    let owners = claim.metadata.owner_references.iter().flatten();
    owners
        .into_iter()
        .any(|owner| Some(&owner.uid) == pod.metadata.uid.as_ref())
}

fn of_persistent(volume: &PersistentVolume, claim: &PersistentVolumeClaim, policy: &Policy) -> Result<Place, String> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let spec = volume.spec.clone().unwrap_or_default();
    let owner = spec.claim_ref.as_ref().and_then(|claim| claim.uid.as_deref());
    if owner.is_none() || owner != claim.metadata.uid.as_deref() {
        return Err(format!("persistentvolume {name} belongs to another claim"));
    }
    if spec.volume_mode.as_deref() == Some("Block") {
        return Err(format!(
            "persistentvolume {name} is a block device, which an ordinary account cannot use"
        ));
    }
    let (source, read_only) = source(&spec).ok_or_else(|| {
        format!(
            "persistentvolume {name} is of a kind that is no path on a cluster: hostPath, local, nfs and csi can be"
        )
    })?;
    let mapped = policy
        .volumes
        .iter()
        .find_map(|rule| Some((rule, below(&source, &rule.from)?)));
    let Some((rule, part)) = mapped else {
        return Err(format!(
            "the site has no rule where on the cluster {source} is (persistentvolume {name}; policy.volumes)"
        ));
    };
    if part.split('/').any(|part| matches!(part, "." | "..")) {
        return Err(format!("{source} leads out of its volume"));
    }
    let modes = spec.access_modes.unwrap_or_default();
    Ok(Place {
        root: rule.to.clone(),
        part: part.to_owned(),
        read_only: read_only || (!modes.is_empty() && modes.iter().all(|mode| mode == "ReadOnlyMany")),
        kind: match spec.host_path.and_then(|path| path.type_).as_deref() {
            Some("DirectoryOrCreate") => "make",
            _ => "directory",
        },
    })
}

/// A volume's source as one text, which the site's rules are about.
fn source(spec: &PersistentVolumeSpec) -> Option<(String, bool)> {
    if let Some(path) = &spec.host_path {
        return Some((clean(&path.path)?, false));
    }
    if let Some(local) = &spec.local {
        return Some((clean(&local.path)?, false));
    }
    if let Some(nfs) = &spec.nfs {
        return Some((
            format!("nfs://{}{}", nfs.server, clean(&nfs.path)?),
            nfs.read_only.unwrap_or(false),
        ));
    }
    let csi = spec.csi.as_ref()?;
    let attribute = |name: &str| csi.volume_attributes.as_ref().and_then(|all| all.get(name));
    let text = match (attribute("server"), attribute("share")) {
        (Some(server), Some(share)) => {
            let below = attribute("subdir")
                .map(|subdir| format!("/{subdir}"))
                .unwrap_or_default();
            format!("nfs://{server}{}", clean(&format!("/{share}{below}"))?)
        }
        _ => format!("csi://{}/{}", csi.driver, csi.volume_handle),
    };
    Some((text, csi.read_only.unwrap_or(false)))
}

/// An absolute path without empty parts; `None` if it is not absolute or has `..`, or a byte that no path here may have.
pub fn clean(path: &str) -> Option<String> {
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let fine = path.starts_with('/') && !parts.contains(&"..") && !path.contains(|c: char| c.is_control());
    fine.then(|| format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{HostPath, VolumeRule};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn policy() -> Policy {
        let rule = |from: &str, to: &str| VolumeRule {
            from: from.to_owned(),
            to: to.to_owned(),
        };
        Policy {
            host_paths: vec![
                HostPath {
                    path: "/scratch/open".into(),
                    read_only: false,
                },
                HostPath {
                    path: "/cvmfs".into(),
                    read_only: true,
                },
            ],
            volumes: vec![
                rule("/data", "/lustre/k8s"),
                rule("nfs://nas/export", "/nas"),
                rule("csi://x.example", "/x"),
            ],
            ..Policy::default()
        }
    }

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p", "namespace": "n", "uid": "pod"}})).unwrap()
    }

    fn found(volume: Value, references: &References) -> Result<Place, String> {
        let mut volume = volume;
        volume["name"] = json!("v");
        match of(&pod(), &serde_json::from_value(volume).unwrap(), references, &policy()) {
            Ok(place) => Ok(place.unwrap()),
            Err(Fault::Rejected(rejection)) => Err(rejection.message),
            Err(Fault::Incomplete { message }) => Err(format!("later: {message}")),
        }
    }

    fn bound(spec: Value) -> References {
        let mut references = References::default();
        let claim = json!({"metadata": {"name": "c", "uid": "claim"}, "spec": {"volumeName": "pv"}, "status": {"phase": "Bound"}});
        references
            .claims
            .insert("c".into(), serde_json::from_value(claim).unwrap());
        let mut volume = json!({"metadata": {"name": "pv"}, "spec": {"claimRef": {"uid": "claim"}}});
        volume["spec"]
            .as_object_mut()
            .unwrap()
            .extend(spec.as_object().unwrap().clone());
        references
            .persistent_volumes
            .insert("pv".into(), serde_json::from_value(volume).unwrap());
        references
    }

    #[test]
    fn a_host_path_has_to_be_opened_by_the_site() {
        let at = |path: &str, kind: &str| {
            found(
                json!({"hostPath": {"path": path, "type": kind}}),
                &References::default(),
            )
        };
        let place = at("/scratch/open//a/./b/", "DirectoryOrCreate").unwrap();
        assert_eq!(
            (place.root.as_str(), place.part.as_str(), place.kind),
            ("/scratch/open", "a/b", "make")
        );
        assert!(at("/cvmfs/x", "").unwrap().read_only);
        for (path, kind, said) in [
            ("/", "", "opens no directory"),
            ("/scratch/opener", "", "opens no directory"),
            ("/scratch/open/../x", "", "`..`"),
            ("relative", "", "`..`"),
            ("/cvmfs/x", "BlockDevice", "BlockDevice"),
        ] {
            let why = at(path, kind).unwrap_err();
            assert!(why.contains(said), "{path}: {why}");
        }
    }

    #[test]
    fn a_claim_is_found_by_the_rules_of_the_site() {
        let claim = json!({"persistentVolumeClaim": {"claimName": "c"}});
        for (spec, root, part) in [
            (json!({"hostPath": {"path": "/data/a"}}), "/lustre/k8s", "a"),
            (json!({"local": {"path": "/data"}}), "/lustre/k8s", ""),
            (json!({"nfs": {"server": "nas", "path": "/export/x/y"}}), "/nas", "x/y"),
            (
                json!({"csi": {"driver": "x.example", "volumeHandle": "vol-1"}}),
                "/x",
                "vol-1",
            ),
            (
                json!({"csi": {"driver": "nfs.csi.k8s.io", "volumeHandle": "h", "volumeAttributes": {"server": "nas", "share": "/export", "subdir": "pvc-1"}}}),
                "/nas",
                "pvc-1",
            ),
        ] {
            let place = found(claim.clone(), &bound(spec)).unwrap();
            assert_eq!(
                (place.root.as_str(), place.part.as_str(), place.read_only),
                (root, part, false)
            );
        }
        let read_only = bound(json!({"nfs": {"server": "nas", "path": "/export"}, "accessModes": ["ReadOnlyMany"]}));
        assert!(found(claim, &read_only).unwrap().read_only);
    }

    #[test]
    fn what_is_not_bound_is_waited_for_and_what_has_no_rule_is_refused() {
        let claim = json!({"persistentVolumeClaim": {"claimName": "c"}});
        let why = |references: &References| found(claim.clone(), references).unwrap_err();
        assert!(why(&References::default()).starts_with("later: "));
        let mut unbound = bound(json!({"hostPath": {"path": "/data"}}));
        unbound.claims.get_mut("c").unwrap().status = None;
        assert!(why(&unbound).contains("not bound yet"));
        for (spec, said) in [
            (
                json!({"hostPath": {"path": "/etc"}}),
                "no rule where on the cluster /etc is",
            ),
            (
                json!({"csi": {"driver": "x.example", "volumeHandle": "../y"}}),
                "leads out",
            ),
            (
                json!({"awsElasticBlockStore": {"volumeID": "x"}}),
                "no path on a cluster",
            ),
            (
                json!({"hostPath": {"path": "/data"}, "volumeMode": "Block"}),
                "block device",
            ),
            (
                json!({"hostPath": {"path": "/data"}, "claimRef": {"uid": "other"}}),
                "another claim",
            ),
        ] {
            let why = why(&bound(spec));
            assert!(why.contains(said) && !why.starts_with("later"), "{why}");
        }
    }

    #[test]
    fn an_ephemeral_volume_is_the_claim_that_was_made_for_the_pod() {
        let mut references = bound(json!({"hostPath": {"path": "/data/e"}}));
        let mut claim = references.claims.remove("c").unwrap();
        let volume = json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}});
        references.claims.insert("p-v".into(), claim.clone());
        assert!(
            found(volume.clone(), &references)
                .unwrap_err()
                .contains("not made for this pod")
        );
        claim.metadata.owner_references = Some(vec![
            serde_json::from_value(json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "pod"})).unwrap(),
        ]);
        references.claims.insert("p-v".into(), claim);
        assert_eq!(found(volume, &references).unwrap().part, "e");
    }

    proptest! {
        #[test]
        fn no_path_leads_out_of_what_is_open(path in "(/|\\.|\\.\\.|a|open|scratch|\\PC){0,12}") {
            if let Ok(place) = found(json!({"hostPath": {"path": path}}), &References::default()) {
                prop_assert!(!place.part.split('/').any(|part| part == ".."));
                prop_assert!(policy().host_paths.iter().any(|open| open.path == place.root));
            }
        }
    }
}
