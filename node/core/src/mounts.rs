//! What of a pod's volumes its containers see, and where: the file `mounts`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, PodSpec, Volume, VolumeMount};

use crate::environment::expand;
use crate::interlink::Bind;
use crate::places::{Place, clean};
use crate::policy::{Policy, below};
use crate::translate::Fault;

/// One mount: source, target, and `ro` or `rw` with what else has to hold.
pub type Mount = [String; 3];

/// The mount of a volume. `places` are those volumes that are paths of the cluster.
///
/// # Errors
/// A [`Fault`]: a path that cannot be a mount's, or a variable that is not there.
pub fn of(
    spec: &PodSpec,
    container: &Container,
    mount: &VolumeMount,
    places: &BTreeMap<String, Place>,
    variables: &BTreeMap<String, String>,
) -> Result<Mount, Fault> {
    let what = format!("container {}: mount {}", container.name, mount.mount_path);
    let refuse = |why: &str| Fault::rejected("UnsupportedMount", format!("{what}: {why}"));
    let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
    let volume = volume.ok_or_else(|| refuse(&format!("the pod has no volume {}", mount.name)))?;
    let target = target(&mount.mount_path).map_err(|why| refuse(&why))?;
    let sub = sub_path(mount, variables)
        .map_err(|missing| Fault::incomplete(format!("{what}: the variable in subPathExpr {missing:?} is not set")))?;
    if sub.starts_with('/')
        || !sub.is_empty() && sub.split('/').any(|part| matches!(part, "" | "." | ".."))
        || sub.contains(char::is_control)
    {
        // What a variable makes of it is no fault of the pod's text: as on a kubelet, the container waits.
        let why = "the subPath must be relative and without `..`";
        return Err(match &mount.sub_path_expr {
            Some(_) => Fault::incomplete(format!("{what}: failed to prepare subPath for volumeMount: {why}")),
            None => refuse(why),
        });
    }
    let place = places.get(&volume.name);
    // What comes from the API is read-only, as on a kubelet.
    let from_api = place.is_none() && volume.empty_dir.is_none();
    let read_only = mount.read_only.unwrap_or(false) || from_api || place.is_some_and(|place| place.read_only);
    let mode = if read_only { "ro" } else { "rw" };
    let kind = match place.map_or("", |place| place.kind) {
        // As on a kubelet: a subPath that is not there becomes a directory. (Not in a place that is not to be changed.)
        _ if !sub.is_empty() && !from_api && place.is_none_or(|place| !place.read_only) => "make",
        _ if !sub.is_empty() => "",
        kind => kind,
    };
    let options = if kind.is_empty() {
        mode.to_owned()
    } else {
        format!("{mode},{kind}")
    };
    Ok([source(volume, place, &sub), target, options])
}

/// `//` stands before what has to be looked for on the node, and may not lead out of what stands before it.
fn source(volume: &Volume, place: Option<&Place>, sub: &str) -> String {
    match place {
        Some(place) if sub.is_empty() => format!("{}//{}", place.root.trim_end_matches('/'), place.part),
        Some(place) => format!("{}//{}//{sub}", place.root.trim_end_matches('/'), place.part),
        None if sub.is_empty() => format!("volumes/{}", volume.name),
        None if volume.empty_dir.is_some() => format!("volumes/{}//{sub}", volume.name),
        // (Towline wrote all of it: there is no link in it that leads out.)
        None => format!("volumes/{}/..data/{sub}", volume.name),
    }
}

fn sub_path(mount: &VolumeMount, variables: &BTreeMap<String, String>) -> Result<String, String> {
    if let Some(sub) = mount.sub_path.as_deref().filter(|sub| !sub.is_empty()) {
        return Ok(sub.to_owned());
    }
    let Some(text) = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(String::new());
    };
    let mut rest = text.replace("$$", "");
    while let Some((_, after)) = rest.split_once("$(") {
        let (name, tail) = after.split_once(')').ok_or_else(|| text.to_owned())?;
        if !variables.contains_key(name) {
            return Err(text.to_owned());
        }
        rest = tail.to_owned();
    }
    Ok(expand(text, variables))
}

/// Where a mount goes, without a slash at its end.
fn target(path: &str) -> Result<String, String> {
    let target = path.trim_end_matches('/');
    if !target.starts_with('/') || target.split('/').skip(1).any(|part| matches!(part, "." | "..")) {
        return Err("the path must be absolute, below / and without `..`".to_owned());
    }
    if target.contains(['\n', '\0', ':', ',', '\\', '"']) {
        return Err(
            "the path has a character that container runtimes cannot take in a mount (: , \\ \" or a line break)"
                .to_owned(),
        );
    }
    Ok(target.to_owned())
}

/// The file that a container writes its last words into, where it is not the usual one (which every container has).
///
/// # Errors
/// A rejection: the path cannot be a mount's.
pub fn of_termination_message(container: &Container) -> Result<Option<Mount>, Fault> {
    let path = container.termination_message_path.as_deref().unwrap_or_default();
    if matches!(path, "" | "/dev/termination-log") {
        return Ok(None);
    }
    let target = target(path).map_err(|why| {
        Fault::rejected(
            "UnsupportedMount",
            format!("container {}: terminationMessagePath: {why}", container.name),
        )
    })?;
    Ok(Some([
        format!("termination/{}", container.name),
        target,
        "rw".to_owned(),
    ]))
}

/// A path of the cluster that an annotation asks for: under the rules for hostPath volumes.
///
/// # Errors
/// A rejection: the site does not open it, or a path is none.
pub fn of_bind(bind: &Bind, policy: &Policy) -> Result<Mount, Fault> {
    let refuse = |why: &str| Fault::rejected("UnsupportedMount", format!("bind of {}: {why}", bind.source));
    let source = clean(&bind.source).ok_or_else(|| refuse("the path must be absolute and without `..`"))?;
    let target = target(&bind.target).map_err(|why| refuse(&why))?;
    let open = policy
        .host_paths
        .iter()
        .find_map(|open| Some((open, below(&source, &open.path)?)));
    let (open, part) = open.ok_or_else(|| refuse("the site does not open it (policy.hostPaths)"))?;
    let mode = if bind.read_only || open.read_only { "ro" } else { "rw" };
    Ok([
        format!("{}//{part}", open.path.trim_end_matches('/')),
        target,
        mode.to_owned(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn made(mount: serde_json::Value, place: Option<Place>) -> Result<Mount, Fault> {
        let mut mount = mount;
        mount["mountPath"] = json!("/m");
        mount["name"] = json!("v");
        let spec: PodSpec =
            serde_json::from_value(json!({"containers": [], "volumes": [{"name": "v", "emptyDir": {}}]})).unwrap();
        let places = place.into_iter().map(|place| ("v".to_owned(), place)).collect();
        let variables = BTreeMap::from([("A".to_owned(), "x/y".to_owned()), ("UP".to_owned(), "..".to_owned())]);
        of(
            &spec,
            &Container::default(),
            &serde_json::from_value(mount).unwrap(),
            &places,
            &variables,
        )
    }

    #[test]
    fn a_sub_path_is_looked_for_on_the_node() {
        assert_eq!(made(json!({}), None).unwrap(), ["volumes/v", "/m", "rw"]);
        assert_eq!(
            made(json!({"subPath": "a/b"}), None).unwrap(),
            ["volumes/v//a/b", "/m", "rw,make"]
        );
        assert_eq!(
            made(json!({"subPathExpr": "$(A)-$$(A)"}), None).unwrap()[0],
            "volumes/v//x/y-$(A)"
        );
        let place = Place {
            root: "/open/".into(),
            part: "p".into(),
            read_only: true,
            kind: "directory",
        };
        assert_eq!(
            made(json!({}), Some(place.clone())).unwrap(),
            ["/open//p", "/m", "ro,directory"]
        );
        assert_eq!(
            made(json!({"subPath": "s"}), Some(place)).unwrap(),
            ["/open//p//s", "/m", "ro"],
            "nothing is made in what is for reading only"
        );
    }

    #[test]
    fn a_container_waits_for_a_variable_that_is_missing_or_leads_out() {
        for expression in ["$(B)", "$(UP)/x", "/$(A)"] {
            let found = made(json!({"subPathExpr": expression}), None);
            assert!(
                matches!(found, Err(Fault::Incomplete { .. })),
                "{expression}: {found:?}"
            );
        }
        let found = made(json!({"subPath": "../x"}), None);
        assert!(matches!(found, Err(Fault::Rejected(_))), "{found:?}");
    }

    #[test]
    fn last_words_are_written_where_the_pod_says() {
        let with = |path: &str| {
            of_termination_message(
                &serde_json::from_value(json!({"name": "c", "terminationMessagePath": path})).unwrap(),
            )
        };
        assert_eq!(with("/dev/termination-log"), Ok(None));
        assert_eq!(
            with("/var/last").unwrap().unwrap(),
            ["termination/c", "/var/last", "rw"]
        );
        assert!(with("last").is_err() && with("/a/../b").is_err());
    }

    #[test]
    fn a_bind_has_to_be_opened_by_the_site() {
        let bind = Bind {
            source: "/scratch/a".into(),
            target: "/a".into(),
            read_only: false,
        };
        assert!(of_bind(&bind, &Policy::default()).is_err());
        let open = crate::policy::HostPath {
            path: "/scratch".into(),
            read_only: true,
        };
        let policy = Policy {
            host_paths: vec![open],
            ..Policy::default()
        };
        assert_eq!(of_bind(&bind, &policy).unwrap(), ["/scratch//a", "/a", "ro"]);
    }

    proptest! {
        #[test]
        fn no_sub_path_leads_out(sub in "(/|\\.|a|\\PC){0,8}") {
            if let Ok([source, _, _]) = made(json!({"subPath": sub}), None) {
                prop_assert!(!source.split('/').any(|part| part == ".."));
            }
        }
    }
}
