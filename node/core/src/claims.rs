//! Which claim gets which persistent volume, where no controller of Kubernetes has decided it.
//!
//! The rules are that controller's (`pkg/controller/volume/persistentvolume`): a volume or a claim may name the other one;
//! else a claim gets the smallest volume of its class that has its modes, its labels and enough room. Nothing is made for a
//! claim that finds none: it stays unbound, and its pod says so.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim, PersistentVolumeSpec};

use crate::quantity;

/// Binds claims to volumes, in the order in which they are given. Names of claims and of volumes are unique.
pub fn bind(claims: &mut [PersistentVolumeClaim], volumes: &mut [PersistentVolume]) {
    // Those that are named come before those that take what fits.
    for named in [true, false] {
        for (n, claim) in claims.iter_mut().enumerate().filter(|(_, claim)| !is_bound(claim)) {
            let uid = claim.metadata.uid.get_or_insert_with(|| format!("claim-{n}")).clone();
            let Some(volume) = choose(claim, volumes, named) else {
                continue;
            };
            let spec = volume.spec.get_or_insert_default();
            spec.claim_ref = Some(ObjectReference {
                namespace: claim.metadata.namespace.clone(),
                name: claim.metadata.name.clone(),
                uid: Some(uid),
                ..ObjectReference::default()
            });
            claim.spec.get_or_insert_default().volume_name = volume.metadata.name.clone();
            claim.status.get_or_insert_default().phase = Some("Bound".to_owned());
        }
    }
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound")
}

fn choose<'a>(
    claim: &PersistentVolumeClaim,
    volumes: &'a mut [PersistentVolume],
    named: bool,
) -> Option<&'a mut PersistentVolume> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let wanted = wanted.filter(|name| !name.is_empty());
    let free = volumes.iter_mut().filter(|volume| {
        let spec = volume.spec.as_ref();
        let kept = spec.and_then(|spec| spec.claim_ref.as_ref());
        let for_it = kept.is_some_and(|kept| is_for(kept, claim));
        let by_name = wanted.is_some() && volume.metadata.name.as_deref() == wanted;
        if named {
            kept.is_none_or(|_| for_it) && (by_name || for_it && wanted.is_none())
        } else {
            kept.is_none() && wanted.is_none()
        }
    });
    free.filter(|volume| fits(claim, volume))
        .min_by_key(|volume| volume.spec.as_ref().map_or(0, capacity))
}

/// What a volume says of its claim is about this one.
fn is_for(kept: &ObjectReference, claim: &PersistentVolumeClaim) -> bool {
    let namespace = |name: &Option<String>| name.clone().unwrap_or_else(|| "default".to_owned());
    kept.name == claim.metadata.name
        && namespace(&kept.namespace) == namespace(&claim.metadata.namespace)
        && kept
            .uid
            .as_ref()
            .is_none_or(|uid| Some(uid) == claim.metadata.uid.as_ref())
}

fn fits(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let asked = claim.spec.clone().unwrap_or_default();
    let Some(spec) = &volume.spec else { return false };
    let class = |name: &Option<String>| name.clone().unwrap_or_default();
    let mode = |mode: &Option<String>| mode.clone().unwrap_or_else(|| "Filesystem".to_owned());
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    let asked_modes = asked.access_modes.as_deref().unwrap_or_default();
    let size = asked.resources.and_then(|resources| resources.requests);
    let size = size.and_then(|requests| requests.get("storage").map(|size| quantity::units(&size.0)));
    let labels: BTreeMap<String, String> = volume.metadata.labels.clone().unwrap_or_default();
    let selected = asked.selector.is_none_or(|selector| {
        let mut wanted = selector.match_labels.iter().flatten();
        // (Whoever wants more than labels that are equal is not served.)
        selector.match_expressions.is_none_or(|all| all.is_empty())
            && wanted.all(|(key, value)| labels.get(key) == Some(value))
    });
    class(&asked.storage_class_name) == class(&spec.storage_class_name)
        && mode(&asked.volume_mode) == mode(&spec.volume_mode)
        && asked_modes.iter().all(|mode| modes.contains(mode))
        && size.is_none_or(|size| size.is_ok_and(|size| size <= capacity(spec)))
        && selected
}

fn capacity(spec: &PersistentVolumeSpec) -> u64 {
    let size = spec.capacity.as_ref().and_then(|capacity| capacity.get("storage"));
    size.and_then(|size| quantity::units(&size.0).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn claim(name: &str, mut spec: Value) -> PersistentVolumeClaim {
        for (field, default) in [
            ("accessModes", json!(["ReadWriteOnce"])),
            ("resources", json!({"requests": {"storage": "1Gi"}})),
        ] {
            if spec.get(field).is_none() {
                spec[field] = default;
            }
        }
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    fn volume(name: &str, size: &str, mut spec: Value) -> PersistentVolume {
        spec["capacity"] = json!({"storage": size});
        if spec.get("accessModes").is_none() {
            spec["accessModes"] = json!(["ReadWriteOnce", "ReadWriteMany"]);
        }
        serde_json::from_value(json!({"metadata": {"name": name, "labels": {"disk": name}}, "spec": spec})).unwrap()
    }

    /// What each claim has got, `-` for nothing.
    fn bound(mut claims: Vec<PersistentVolumeClaim>, mut volumes: Vec<PersistentVolume>) -> Vec<String> {
        bind(&mut claims, &mut volumes);
        let mut got = Vec::new();
        for claim in &claims {
            let name = claim.spec.as_ref().unwrap().volume_name.clone();
            let name = name.filter(|_| is_bound(claim));
            if let Some(name) = &name {
                let found = volumes
                    .iter()
                    .find(|volume| volume.metadata.name.as_ref() == Some(name));
                let kept = found.unwrap().spec.as_ref().unwrap().claim_ref.clone().unwrap();
                assert_eq!((&kept.name, &kept.uid), (&claim.metadata.name, &claim.metadata.uid));
                assert!(kept.uid.is_some());
            }
            got.push(name.unwrap_or_else(|| "-".to_owned()));
        }
        got
    }

    #[test]
    fn a_claim_gets_the_smallest_volume_that_fits_and_nobody_gets_it_twice() {
        let volumes = vec![
            volume("large", "9Gi", json!({})),
            volume("small", "500Mi", json!({})),
            volume("fitting", "2Gi", json!({})),
        ];
        let claims = vec![claim("a", json!({})), claim("b", json!({})), claim("c", json!({}))];
        assert_eq!(bound(claims, volumes), ["fitting", "large", "-"]);
    }

    #[test]
    fn names_come_before_what_fits() {
        let volumes = || {
            vec![
                volume(
                    "kept",
                    "1Gi",
                    json!({"claimRef": {"namespace": "default", "name": "b"}}),
                ),
                volume("other", "2Gi", json!({})),
            ]
        };
        // A volume that is kept for a claim is nobody else's.
        assert_eq!(
            bound(vec![claim("a", json!({})), claim("b", json!({}))], volumes()),
            ["other", "kept"]
        );
        let names = |name: &str| claim("a", json!({"volumeName": name}));
        assert_eq!(bound(vec![names("other")], volumes()), ["other"]);
        assert_eq!(bound(vec![names("kept")], volumes()), ["-"]);
        assert_eq!(bound(vec![names("nowhere")], volumes()), ["-"]);
        let elsewhere = json!({"claimRef": {"namespace": "another", "name": "a"}});
        assert_eq!(
            bound(vec![claim("a", json!({}))], vec![volume("v", "1Gi", elsewhere)]),
            ["-"]
        );
    }

    #[test]
    fn class_modes_labels_and_room_have_to_fit() {
        let one = |asked: Value| {
            bound(
                vec![claim("a", asked)],
                vec![volume("v", "1Gi", json!({"storageClassName": "fast"}))],
            )
        };
        assert_eq!(one(json!({"storageClassName": "fast"})), ["v"]);
        for asked in [
            json!({}),
            json!({"storageClassName": "slow"}),
            json!({"storageClassName": "fast", "accessModes": ["ReadOnlyMany"]}),
            json!({"storageClassName": "fast", "volumeMode": "Block"}),
            json!({"storageClassName": "fast", "resources": {"requests": {"storage": "2Gi"}}}),
            json!({"storageClassName": "fast", "selector": {"matchLabels": {"disk": "w"}}}),
            json!({"storageClassName": "fast", "selector": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}),
        ] {
            assert_eq!(one(asked.clone()), ["-"], "{asked}");
        }
        assert_eq!(
            one(json!({"storageClassName": "fast", "selector": {"matchLabels": {"disk": "v"}}})),
            ["v"]
        );
    }
}
