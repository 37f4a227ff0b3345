//! Volumes as files: configMap, secret, downwardAPI, projected and emptyDir.
//!
//! Files lie as a kubelet lays them: `..data` points at a directory of one generation, and each top-level name points
//! through `..data`, so that an update can replace all of them in one rename. Source: `pkg/volume/util/atomic_writer.go`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, Pod, Volume, VolumeProjection};

use sha2::{Digest, Sha256};

use crate::bundle::{Bundle, Entry};
use crate::environment::{downward_field, downward_resource};
use crate::limits;
use crate::translate::{Fault, References};

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    mode: u32,
    content: Vec<u8>,
    /// Its content is another one each time that it is asked for.
    is_token: bool,
}

/// Files of a volume, by their path below the mount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(BTreeMap<String, File>);

/// What becomes of tokens where a volume's files are collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tokens {
    /// They are in [`References`].
    Given,
    /// They are left out: nothing is made of the files but their [digest](Files::digest).
    LeftOut,
}

/// Adds a volume to a pod's directory, below `volumes/NAME`. Returns the [digest](Files::digest) of what comes from the API.
///
/// # Errors
/// A [`Fault`]: something is missing (to be retried), or the volume cannot be honoured.
pub fn add(bundle: &mut Bundle, pod: &Pod, volume: &Volume, references: &References) -> Result<Option<String>, Fault> {
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
        // Any user of the container may write, as on a kubelet. (One in memory is made on the node.)
        if !limits::is_memory(volume) {
            bundle.directory(format!("volumes/{}", volume.name), 0o777);
        }
        return Ok(None);
    }
    if !is_from_api(volume) {
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
    let files = files_of(pod, volume, references, Tokens::Given)?;
    let digest = files.digest();
    files.lay_out(&mut bundle.entries, &volume.name, 0);
    Ok(Some(digest))
}

/// Whether a volume's files are made from objects of the API.
pub fn is_from_api(volume: &Volume) -> bool {
    volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
        || volume.projected.is_some()
}

/// Whether a volume holds tokens.
pub fn has_tokens(volume: &Volume) -> bool {
    let mut sources = volume
        .projected
        .iter()
        .flat_map(|source| source.sources.iter().flatten());
    sources.any(|source| source.service_account_token.is_some())
}

/// The files of a volume that comes from the API.
///
/// # Errors
/// A [`Fault`]: something is missing (to be retried), or the volume cannot be honoured.
pub fn files_of(pod: &Pod, volume: &Volume, references: &References, tokens: Tokens) -> Result<Files, Fault> {
    let mut files = Files::default();
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
            collect_projection(&mut files, pod, &volume.name, projection, mode, references, tokens)?;
        }
    }
    Ok(files)
}

impl Files {
    fn insert(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Result<(), Fault> {
        self.put(
            path,
            File {
                mode,
                content: content.into(),
                is_token: false,
            },
        )
    }

    fn put(&mut self, path: &str, file: File) -> Result<(), Fault> {
        self.0.insert(checked_path(path)?.to_owned(), file);
        Ok(())
    }

    /// Tells one content from another. Tokens do not count: each is different, and has its own time.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        for (path, file) in &self.0 {
            part(path.as_bytes());
            part(&file.mode.to_be_bytes());
            part(if file.is_token { b"token" } else { &file.content });
        }
        hash.finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Writes them as generation `generation` of the volume `volume`.
    pub fn lay_out(self, entries: &mut BTreeMap<String, Entry>, volume: &str, generation: u64) {
        let base = format!("volumes/{volume}");
        let generation = format!("..towline_{generation}");
        let below = format!("{base}/{generation}");
        entries.insert(base.clone(), Entry::Directory(0o755));
        entries.insert(below.clone(), Entry::Directory(0o755));
        entries.insert(format!("{base}/..data"), Entry::Symlink(generation));
        for (path, file) in self.0 {
            for (at, _) in path.match_indices('/') {
                entries.insert(format!("{below}/{}", &path[..at]), Entry::Directory(0o755));
            }
            let first = path.split('/').next().unwrap_or_default();
            entries.insert(format!("{base}/{first}"), Entry::Symlink(format!("..data/{first}")));
            entries.insert(format!("{below}/{path}"), Entry::File(file.mode, file.content));
        }
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
            files.insert(key, mode, *value)?;
        }
        return Ok(());
    };
    for item in items {
        let mode = if item.mode.is_some() { mode_of(item.mode)? } else { mode };
        match content.get(item.key.as_str()) {
            Some(value) => files.insert(&item.path, mode, *value)?,
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
        files.insert(&item.path, mode, value)?;
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
    tokens: Tokens,
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
        let content = match tokens {
            Tokens::LeftOut => Vec::new(),
            Tokens::Given => {
                let token = references
                    .tokens
                    .get(&TokenRequest::of(volume, source))
                    .ok_or_else(|| {
                        Fault::incomplete(format!(
                            "no token of the service account could be had for volume {volume}"
                        ))
                    })?;
                token.text.clone().into_bytes()
            }
        };
        files.put(
            &source.path,
            File {
                mode,
                content,
                is_token: true,
            },
        )
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

/// Longest time that a token is used, seconds, however long it would be valid.
const TOKEN_USE_S: i64 = 24 * 3600;

/// A token, and when the next one has to be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub text: String,
    /// When it has to be replaced, seconds since 1970.
    pub renew_at: i64,
}

impl Token {
    /// A token that ends at `expires` and was made for `lifetime_s` seconds: it is used for four fifths of that, and for a
    /// day at most, as by a kubelet.
    ///
    /// Source: `pkg/kubelet/token/token_manager.go` (`requiresRefresh`).
    pub fn new(text: String, expires: i64, lifetime_s: i64) -> Self {
        let made = expires.saturating_sub(lifetime_s);
        let used = lifetime_s.saturating_sub(lifetime_s.saturating_mul(20) / 100);
        Self {
            text,
            renew_at: made.saturating_add(used.min(TOKEN_USE_S)),
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
        let mut files = Files::default();
        files.insert("a/b", 0o600, b"x".as_slice()).unwrap();
        let mut entries = BTreeMap::new();
        files.lay_out(&mut entries, "v", 7);
        assert_eq!(entries["volumes/v/..data"], Entry::Symlink("..towline_7".into()));
        assert_eq!(entries["volumes/v/a"], Entry::Symlink("..data/a".into()));
        assert_eq!(entries["volumes/v/..towline_7/a"], Entry::Directory(0o755));
        assert_eq!(entries["volumes/v/..towline_7/a/b"], Entry::File(0o600, b"x".to_vec()));
    }

    #[test]
    fn a_digest_tells_paths_modes_and_contents_apart_and_no_tokens() {
        let one = |path: &str, mode, content: &[u8], is_token| {
            let mut files = Files::default();
            let content = content.to_vec();
            files
                .put(
                    path,
                    File {
                        mode,
                        content,
                        is_token,
                    },
                )
                .unwrap();
            files.digest()
        };
        let digest = one("a", 0o644, b"x", false);
        for other in [
            one("b", 0o644, b"x", false),
            one("a", 0o600, b"x", false),
            one("a", 0o644, b"y", false),
            Files::default().digest(),
        ] {
            assert_ne!(digest, other);
        }
        assert_eq!(one("a", 0o644, b"x", true), one("a", 0o644, b"y", true));
    }

    #[test]
    fn a_token_is_replaced_at_four_fifths_of_its_life_and_after_a_day() {
        let renewed = |lifetime: i64| Token::new(String::new(), 1000 + lifetime, lifetime).renew_at - 1000;
        assert_eq!((renewed(600), renewed(3607)), (480, 2886));
        assert_eq!(renewed(30 * 24 * 3600), 24 * 3600);
    }

    #[test]
    fn no_path_leaves_its_volume() {
        for bad in ["", "/a", "..", "../a", "a/../b", "..data", "a//b", "a/.", "a\0"] {
            assert!(checked_path(bad).is_err(), "{bad:?}");
        }
        assert!(checked_path("a/..b/c").is_ok());
    }
}
