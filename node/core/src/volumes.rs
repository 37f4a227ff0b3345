//! Volumes as files: configMap, secret, downwardAPI, projected and emptyDir.
//!
//! Files lie as a kubelet lays them: `..data` points at a directory of one generation, and each top-level name points
//! through `..data`, so that an update can replace all of them in one rename. Source: `pkg/volume/util/atomic_writer.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};

use crate::bundle::{Bundle, Entry};
use crate::environment::{downward_field, downward_resource};
use crate::translate::{Fault, References};

/// The generation directory that a first upload has.
const GENERATION: &str = "..towline_0";

/// Files of a volume: path below the mount → mode and content.
type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// Adds a volume to a pod's directory, below `volumes/NAME`.
///
/// # Errors
/// A [`Fault`]: something is missing (to be retried), or the volume cannot be honoured.
pub fn add(bundle: &mut Bundle, pod: &Pod, volume: &Volume, references: &References) -> Result<(), Fault> {
    let base = format!("volumes/{}", volume.name);
    if let Some(empty) = &volume.empty_dir {
        if let Some(medium) = empty
            .medium
            .as_deref()
            .filter(|medium| !matches!(*medium, "" | "Memory"))
        {
            return Err(Fault::rejected(
                "UnsupportedVolume",
                format!("volume {}: medium {medium} is not supported", volume.name),
            ));
        }
        // Any user of the container may write, as on a kubelet.
        bundle.directory(base, 0o777);
        return Ok(());
    }
    let mut files = Files::new();
    if let Some(source) = &volume.config_map {
        let mode = mode_of(source.default_mode)?;
        let optional = source.optional;
        collect_config_map(
            &mut files,
            references,
            &source.name,
            optional,
            source.items.as_deref(),
            mode,
        )?;
    } else if let Some(source) = &volume.secret {
        let mode = mode_of(source.default_mode)?;
        let name = source.secret_name.as_deref().unwrap_or_default();
        collect_secret(
            &mut files,
            references,
            name,
            source.optional,
            source.items.as_deref(),
            mode,
        )?;
    } else if let Some(source) = &volume.downward_api {
        let mode = mode_of(source.default_mode)?;
        collect_downward(&mut files, pod, source.items.as_deref().unwrap_or_default(), mode)?;
    } else if let Some(source) = &volume.projected {
        let mode = mode_of(source.default_mode)?;
        for projection in source.sources.iter().flatten() {
            collect_projection(&mut files, pod, &volume.name, projection, mode, references)?;
        }
    } else {
        let kind = serde_json::to_value(volume)
            .ok()
            .and_then(|value| {
                value
                    .as_object()
                    .and_then(|map| map.keys().find(|key| *key != "name").cloned())
            })
            .unwrap_or_else(|| "none".to_owned());
        return Err(Fault::rejected(
            "UnsupportedVolume",
            format!(
                "volume {}: a volume of kind {kind} is not supported on this node",
                volume.name
            ),
        ));
    }
    lay_out(bundle, &base, files);
    Ok(())
}

fn lay_out(bundle: &mut Bundle, base: &str, files: Files) {
    bundle.directory(base, 0o755);
    bundle.directory(format!("{base}/{GENERATION}"), 0o755);
    bundle
        .entries
        .insert(format!("{base}/..data"), Entry::Symlink(GENERATION.to_owned()));
    for (path, (mode, content)) in files {
        let mut parent = format!("{base}/{GENERATION}");
        let parts: Vec<&str> = path.split('/').collect();
        for part in &parts[..parts.len() - 1] {
            parent = format!("{parent}/{part}");
            bundle.directory(parent.clone(), 0o755);
        }
        bundle.entries.insert(
            format!("{base}/{}", parts[0]),
            Entry::Symlink(format!("..data/{}", parts[0])),
        );
        bundle
            .entries
            .insert(format!("{base}/{GENERATION}/{path}"), Entry::File(mode, content));
    }
}

fn mode_of(mode: Option<i32>) -> Result<u32, Fault> {
    let mode = mode.unwrap_or(0o644);
    u32::try_from(mode).ok().filter(|mode| *mode <= 0o777).ok_or_else(|| {
        Fault::rejected(
            "UnsupportedVolume",
            format!("{mode} is not a file mode between 0 and 0777"),
        )
    })
}

/// A path below a mount point, as the API server validates it; checked again because it becomes a file name.
fn checked_path(path: &str) -> Result<&str, Fault> {
    let bad = path.is_empty()
        || path.starts_with('/')
        || path.starts_with("..")
        || path.contains('\0')
        || path
            .split('/')
            .any(|part| matches!(part, "" | "." | "..") || part.len() > 255);
    if bad {
        Err(Fault::rejected(
            "UnsupportedVolume",
            format!("{path:?} cannot be a file's path in a volume"),
        ))
    } else {
        Ok(path)
    }
}

/// Chooses keys: all of them under their own names, or those of `items` under theirs.
fn select<'a>(
    what: &str,
    content: &BTreeMap<&'a str, &'a [u8]>,
    items: Option<&[KeyToPath]>,
    optional: bool,
    mode: u32,
    files: &mut Files,
) -> Result<(), Fault> {
    let Some(items) = items else {
        for (key, value) in content {
            files.insert(checked_path(key)?.to_owned(), (mode, value.to_vec()));
        }
        return Ok(());
    };
    for item in items {
        let mode = if item.mode.is_some() { mode_of(item.mode)? } else { mode };
        match content.get(item.key.as_str()) {
            Some(value) => {
                files.insert(checked_path(&item.path)?.to_owned(), (mode, value.to_vec()));
            }
            None if optional => {}
            None => {
                return Err(Fault::incomplete(format!(
                    "references non-existent {what} key: {}",
                    item.key
                )));
            }
        }
    }
    Ok(())
}

fn collect_config_map(
    files: &mut Files,
    references: &References,
    name: &str,
    optional: Option<bool>,
    items: Option<&[KeyToPath]>,
    mode: u32,
) -> Result<(), Fault> {
    let Some(found) = references.config_map(name, optional)? else {
        return Ok(());
    };
    let text = found
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = found
        .binary_data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.0.as_slice()));
    select(
        "config",
        &text.chain(binary).collect(),
        items,
        optional.unwrap_or(false),
        mode,
        files,
    )
}

fn collect_secret(
    files: &mut Files,
    references: &References,
    name: &str,
    optional: Option<bool>,
    items: Option<&[KeyToPath]>,
    mode: u32,
) -> Result<(), Fault> {
    let Some(found) = references.secret(name, optional)? else {
        return Ok(());
    };
    let content = found
        .data
        .iter()
        .flatten()
        .map(|(key, value)| (key.as_str(), value.0.as_slice()))
        .collect();
    select("secret", &content, items, optional.unwrap_or(false), mode, files)
}

fn collect_downward(files: &mut Files, pod: &Pod, items: &[DownwardAPIVolumeFile], mode: u32) -> Result<(), Fault> {
    for item in items {
        let mode = if item.mode.is_some() { mode_of(item.mode)? } else { mode };
        let value = if let Some(field) = &item.field_ref {
            downward_field(pod, &field.field_path)?
        } else if let Some(resource) = &item.resource_field_ref {
            let container = resource.container_name.as_deref().unwrap_or_default();
            let divisor = resource.divisor.as_ref().map(|quantity| quantity.0.as_str());
            downward_resource(pod, container, &resource.resource, divisor)?
        } else {
            continue;
        };
        files.insert(checked_path(&item.path)?.to_owned(), (mode, value.into_bytes()));
    }
    Ok(())
}

fn collect_projection(
    files: &mut Files,
    pod: &Pod,
    volume: &str,
    projection: &VolumeProjection,
    mode: u32,
    references: &References,
) -> Result<(), Fault> {
    if let Some(source) = &projection.config_map {
        collect_config_map(
            files,
            references,
            &source.name,
            source.optional,
            source.items.as_deref(),
            mode,
        )
    } else if let Some(source) = &projection.secret {
        collect_secret(
            files,
            references,
            &source.name,
            source.optional,
            source.items.as_deref(),
            mode,
        )
    } else if let Some(source) = &projection.downward_api {
        collect_downward(files, pod, source.items.as_deref().unwrap_or_default(), mode)
    } else if let Some(source) = &projection.service_account_token {
        let wanted = TokenRequest::of(volume, source);
        let token = references.tokens.get(&wanted).ok_or_else(|| {
            Fault::incomplete(format!(
                "no token of the service account could be had for volume {volume}"
            ))
        })?;
        files.insert(
            checked_path(&source.path)?.to_owned(),
            (mode, token.clone().into_bytes()),
        );
        Ok(())
    } else {
        Err(Fault::rejected(
            "UnsupportedVolume",
            format!("volume {volume}: a projection of this kind is not supported"),
        ))
    }
}

/// A token that a pod's projected volume asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenRequest {
    /// The audience; `None` is the API server's own.
    pub audience: Option<String>,
    /// Lifetime in seconds.
    pub expiration_seconds: i64,
    /// The volume and path that ask for it: each gets its own token, as on a kubelet.
    pub place: String,
}

impl TokenRequest {
    fn of(volume: &str, source: &k8s_openapi::api::core::v1::ServiceAccountTokenProjection) -> Self {
        Self {
            audience: source.audience.clone().filter(|audience| !audience.is_empty()),
            expiration_seconds: source.expiration_seconds.unwrap_or(3600),
            place: format!("{volume}/{}", source.path),
        }
    }
}

/// The tokens that a pod needs.
pub fn tokens(pod: &Pod) -> Vec<TokenRequest> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes
        .flat_map(|volume| {
            let sources = volume
                .projected
                .iter()
                .flat_map(|projected| projected.sources.iter().flatten());
            sources.filter_map(|source| Some(TokenRequest::of(&volume.name, source.service_account_token.as_ref()?)))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_laid_out_as_by_a_kubelet() {
        let mut bundle = Bundle::default();
        lay_out(
            &mut bundle,
            "volumes/v",
            Files::from([("a/b".to_owned(), (0o600, b"x".to_vec()))]),
        );
        assert_eq!(bundle.entries["volumes/v/..data"], Entry::Symlink("..towline_0".into()));
        assert_eq!(bundle.entries["volumes/v/a"], Entry::Symlink("..data/a".into()));
        assert_eq!(
            bundle.entries["volumes/v/..towline_0/a/b"],
            Entry::File(0o600, b"x".to_vec())
        );
    }

    #[test]
    fn no_path_leaves_its_volume() {
        for bad in ["", "/a", "..", "../a", "a/../b", "..data", "a//b", "a/.", "a\0"] {
            assert!(checked_path(bad).is_err(), "{bad:?}");
        }
        assert!(checked_path("a/..b/c").is_ok());
    }
}
