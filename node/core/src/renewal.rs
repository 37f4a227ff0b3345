//! What of a running pod's volumes is not as it should be any more: ConfigMaps, Secrets, the pod's own labels and
//! annotations that have changed, and tokens whose time has come.
//!
//! Two steps, so that nothing is read in vain: [`Seen`] says from which versions of which objects a pod's volumes were
//! made; only where one of them is another, the objects are read and [`compare`] says which volumes differ.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

use crate::bundle::Entry;
use crate::content::Content;
use crate::translate::{Fault, Needs, References};
use crate::volumes::{self, Tokens, files_of};

/// A kind of object that volumes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// An object of the pod's namespace.
pub type Object = (Kind, String);

/// One state of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Version {
    /// There is none.
    Absent,
    /// Its resource version.
    At(String),
    /// It says that it never changes: it is not asked for again.
    Immutable,
}

impl Version {
    /// Of an object that is there.
    pub fn of(metadata: &ObjectMeta, immutable: Option<bool>) -> Self {
        match immutable {
            Some(true) => Self::Immutable,
            _ => Self::At(metadata.resource_version.clone().unwrap_or_default()),
        }
    }
}

/// What a pod's volumes were made from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    objects: BTreeMap<Object, Version>,
    /// What the pod says of itself, if a volume shows it.
    own: String,
}

impl Seen {
    /// What `references` says of the objects of this pod's volumes. What was immutable `before` still is, whoever has
    /// deleted it.
    pub fn new(pod: &Pod, references: &References, before: Option<&Self>) -> Self {
        let version = |(kind, name): &Object| match kind {
            Kind::ConfigMap => references
                .config_maps
                .get(name)
                .map(|found| Version::of(&found.metadata, found.immutable)),
            Kind::Secret => references
                .secrets
                .get(name)
                .map(|found| Version::of(&found.metadata, found.immutable)),
        };
        let objects = objects_of(volumes_of(pod)).into_iter();
        Self {
            objects: objects
                .map(|object| {
                    let version = match before.and_then(|seen| seen.objects.get(&object)) {
                        Some(Version::Immutable) => Version::Immutable,
                        _ => version(&object).unwrap_or(Version::Absent),
                    };
                    (object, version)
                })
                .collect(),
            own: own_of(pod),
        }
    }
}

impl Seen {
    /// Nothing that this volume is made of can have changed since.
    fn settles(&self, volume: &Volume) -> bool {
        let objects = objects_of([volume]);
        let fixed = |object: &Object| self.objects.get(object) == Some(&Version::Immutable);
        !objects.is_empty() && objects.iter().all(fixed) && !volumes::has_tokens(volume) && !shows_the_pod(volume)
    }
}

/// The objects of this pod's volumes whose version has to be asked for.
pub fn asked(pod: &Pod, seen: Option<&Seen>) -> BTreeSet<Object> {
    let mut objects = objects_of(volumes_of(pod));
    if let Some(seen) = seen {
        objects.retain(|object| seen.objects.get(object) != Some(&Version::Immutable));
    }
    objects
}

/// Whether the volumes have to be made anew to know whether they have changed. `None`: one of the versions is not known
/// now, nothing can be said.
pub fn outdated(pod: &Pod, seen: Option<&Seen>, version: impl Fn(&Object) -> Option<Version>) -> Option<bool> {
    let mut outdated = seen.is_none_or(|seen| seen.own != own_of(pod));
    for object in asked(pod, seen) {
        let version = version(&object)?;
        outdated |= seen.and_then(|seen| seen.objects.get(&object)) != Some(&version);
    }
    Some(outdated)
}

/// Whether tokens have to be replaced.
pub fn tokens_due(there: &Content, now: i64) -> bool {
    there.renew_at.is_some_and(|at| at <= now)
}

/// What has to be sent for one pod.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stale {
    /// The volumes that have to be replaced.
    pub volumes: BTreeSet<String>,
    /// New tokens are needed for them.
    pub tokens: bool,
    /// Volumes that cannot be made now and stay as they are, and why.
    pub problems: BTreeMap<String, String>,
}

/// Compares what a pod's volumes should hold with what they hold.
pub fn compare(pod: &Pod, references: &References, seen: Option<&Seen>, there: &Content, now: i64) -> Stale {
    let mut stale = Stale::default();
    for volume in volumes_of(pod).filter(|volume| !seen.is_some_and(|seen| seen.settles(volume))) {
        match files_of(pod, volume, references, Tokens::LeftOut) {
            Ok(files) if there.volumes.get(&volume.name) == Some(&files.digest()) => {}
            Ok(_) => {
                stale.tokens |= volumes::has_tokens(volume);
                stale.volumes.insert(volume.name.clone());
            }
            Err(fault) => {
                stale.problems.insert(volume.name.clone(), fault.message().to_owned());
            }
        }
    }
    // All of them together: then they have one time at which they are replaced again.
    stale.tokens |= tokens_due(there, now);
    if stale.tokens {
        let with_tokens = volumes_of(pod).filter(|volume| volumes::has_tokens(volume));
        let names = with_tokens.map(|volume| volume.name.clone());
        stale
            .volumes
            .extend(names.filter(|name| !stale.problems.contains_key(name)));
    }
    stale
}

/// New content for one pod's volumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The pod.
    pub uid: String,
    /// What its volumes hold when that is done.
    pub content: Content,
    /// What is sent, by its path in the pod's directory.
    pub entries: BTreeMap<String, Entry>,
}

impl Update {
    /// The volumes that [`compare`] named, made anew. `references` has the tokens, if they are needed.
    ///
    /// # Errors
    /// A [`Fault`]: a token could not be had.
    pub fn new(pod: &Pod, references: &References, there: &Content, stale: &Stale, now_ms: u64) -> Result<Self, Fault> {
        let mut content = there.clone();
        // Never one that was tried before: what is left of that may be half there.
        content.generation = now_ms.max(there.generation.saturating_add(1));
        let mut entries = BTreeMap::from([("volumes".to_owned(), Entry::Directory(0o700))]);
        for volume in volumes_of(pod).filter(|volume| stale.volumes.contains(&volume.name)) {
            let files = files_of(pod, volume, references, Tokens::Given)?;
            content.volumes.insert(volume.name.clone(), files.digest());
            files.lay_out(&mut entries, &volume.name, content.generation);
        }
        if stale.tokens {
            content.renew_at = references.tokens.values().map(|token| token.renew_at).min();
        }
        let line = format!("{content}\n").into_bytes();
        entries.insert(crate::content::FILE.to_owned(), Entry::File(0o600, line));
        Ok(Self {
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            content,
            entries,
        })
    }

    /// Size of all contents in bytes.
    pub fn size(&self) -> usize {
        let sizes = self.entries.values().map(|entry| match entry {
            Entry::File(_, content) => content.len(),
            _ => 0,
        });
        sizes.sum()
    }
}

fn volumes_of(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter(|volume| volumes::is_from_api(volume))
}

/// The objects that volumes are made of.
fn objects_of<'a>(volumes: impl IntoIterator<Item = &'a Volume>) -> BTreeSet<Object> {
    let mut needs = Needs::default();
    volumes.into_iter().for_each(|volume| needs.add_volume(volume));
    let config_maps = needs.config_maps.into_iter().map(|name| (Kind::ConfigMap, name));
    config_maps
        .chain(needs.secrets.into_iter().map(|name| (Kind::Secret, name)))
        .collect()
}

/// The volume shows something of the pod itself.
fn shows_the_pod(volume: &Volume) -> bool {
    let mut sources = volume
        .projected
        .iter()
        .flat_map(|source| source.sources.iter().flatten());
    volume.downward_api.is_some() || sources.any(|source| source.downward_api.is_some())
}

/// Tells apart what a volume can show of the pod itself and what may change: its labels and annotations.
fn own_of(pod: &Pod) -> String {
    if !volumes_of(pod).any(shows_the_pod) {
        return String::new();
    }
    let mut hash = Sha256::new();
    for (part, map) in [(b"l", &pod.metadata.labels), (b"a", &pod.metadata.annotations)] {
        for (key, value) in map.iter().flatten() {
            for text in [key, value] {
                hash.update(part);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
        }
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
