//! The scripts that run on the cluster: embedded in this program, and known by their content's hash.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::archive::Writer;
use crate::error::Error;

include!(concat!(env!("OUT_DIR"), "/embedded.rs"));

/// The file, beside the scripts, that lists all of them with their checksums, in the form of `sha256sum`.
pub const MANIFEST: &str = "MANIFEST";

/// A set of scripts with its hash. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Scripts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    files: BTreeMap<String, (u32, Vec<u8>)>,
    manifest: String,
    hash: String,
}

impl Scripts {
    /// The scripts of this build.
    pub fn embedded() -> Self {
        let files = EMBEDDED.iter();
        Self::new(
            files
                .map(|(name, content)| ((*name).to_owned(), content.to_vec()))
                .collect(),
        )
    }

    /// These scripts and a site's own: `batch/NAME/…` and `container/NAME` of a directory of this machine.
    ///
    /// # Errors
    /// [`Error::Local`] for a directory that cannot be read, [`Error::Invalid`] for a file that would replace one of
    /// ours or lies elsewhere.
    pub fn with_directory(&self, directory: &Path) -> Result<Self, Error> {
        let mut files: BTreeMap<String, Vec<u8>> = self
            .files()
            .iter()
            .map(|(name, (_, content))| (name.clone(), content.clone()))
            .collect();
        let mut own = BTreeMap::new();
        for part in ["batch", "container"] {
            collect(directory, part, &mut own)?;
        }
        if own.is_empty() {
            return Err(Error::Invalid(format!(
                "{} has neither a batch/ nor a container/ with scripts in it",
                directory.display()
            )));
        }
        for (name, content) in own {
            if files.contains_key(&name) {
                return Err(Error::Invalid(format!(
                    "{}/{name} would replace a script of this program: give it another name",
                    directory.display()
                )));
            }
            files.insert(name, content);
        }
        Ok(Self::new(files))
    }

    /// These scripts, and a site's own if it has a directory of them; see [`Self::with_directory`].
    ///
    /// # Errors
    /// See [`Self::with_directory`].
    pub fn with_site(&self, directory: Option<&Path>) -> Result<Self, Error> {
        directory.map_or_else(|| Ok(self.clone()), |directory| self.with_directory(directory))
    }

    /// Whether there is a batch system of that name.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names those that there are.
    pub fn expect_batch(&self, name: &str) -> Result<(), Error> {
        let folders = self.names("batch/").filter_map(|name| name.strip_suffix("/submit"));
        expect("batch system", name, folders)
    }

    /// Whether there is a container runtime of that name.
    ///
    /// # Errors
    /// [`Error::Invalid`] that names those that there are.
    pub fn expect_runtime(&self, name: &str) -> Result<(), Error> {
        let files = self.names("container/").filter(|name| !name.contains('/'));
        expect("container runtime", name, files)
    }

    fn names<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = &'a str> {
        self.files().keys().filter_map(move |name| name.strip_prefix(directory))
    }

    fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut manifest = String::new();
        let mut complete = BTreeMap::new();
        for (name, content) in files {
            // A script is what begins like one. So the mode follows from the content, and the hash covers it.
            let mode = if content.starts_with(b"#!") { 0o700 } else { 0o600 };
            let _ = writeln!(manifest, "{}  {name}", hex(&Sha256::digest(&content)));
            complete.insert(name, (mode, content));
        }
        let mut hash = hex(&Sha256::digest(manifest.as_bytes()));
        hash.truncate(16);
        Self(Arc::new(Inner {
            files: complete,
            manifest,
            hash,
        }))
    }

    /// The files: path → mode and content.
    pub fn files(&self) -> &BTreeMap<String, (u32, Vec<u8>)> {
        &self.0.files
    }

    /// The hash of names and contents, short.
    pub fn hash(&self) -> &str {
        &self.0.hash
    }

    /// Where they lie below a root.
    pub fn directory(&self, root: &str) -> String {
        format!("{root}/scripts/{}", self.hash())
    }

    /// As a tar archive of the directory `HASH`, [`MANIFEST`] last.
    pub(crate) fn archive(&self) -> Result<Vec<u8>, Error> {
        let mut tar = Writer::default();
        tar.directory(self.hash(), 0o700)?;
        let mut made = std::collections::BTreeSet::new();
        for (name, (mode, content)) in self.files() {
            for (at, _) in name.match_indices('/') {
                if made.insert(&name[..at]) {
                    tar.directory(&format!("{}/{}", self.hash(), &name[..at]), 0o700)?;
                }
            }
            tar.file(&format!("{}/{name}", self.hash()), *mode, content)?;
        }
        tar.file(
            &format!("{}/{MANIFEST}", self.hash()),
            0o600,
            self.0.manifest.as_bytes(),
        )?;
        tar.finish()
    }
}

impl Default for Scripts {
    fn default() -> Self {
        Self::embedded()
    }
}

fn expect<'a>(what: &str, name: &str, names: impl Iterator<Item = &'a str>) -> Result<(), Error> {
    let names: Vec<&str> = names.collect();
    if names.contains(&name) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "there is no {what} {name:?}: there are {}",
        names.join(", ")
    )))
}

fn collect(root: &Path, part: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), Error> {
    let directory = root.join(part);
    let failed = |path: &Path, source| Error::Local {
        what: format!("read {}", path.display()),
        source,
    };
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| failed(&directory, source))?,
    };
    for entry in entries {
        let path = entry.map_err(|source| failed(&directory, source))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let harmless = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !name.bytes().all(harmless) {
            return Err(Error::Invalid(format!(
                "{} cannot be a script: use A-Z a-z 0-9 . _ and - in its name",
                path.display()
            )));
        }
        let name = format!("{part}/{name}");
        if path.is_dir() {
            collect(root, &name, files)?;
        } else {
            let content = std::fs::read(&path).map_err(|source| failed(&path, source))?;
            files.insert(name, content);
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_tests_is_embedded() {
        let scripts = Scripts::embedded();
        for name in [
            "lib/base.sh",
            "pod/supervisor",
            "batch/host/submit",
            "container/apptainer",
            "README.md",
        ] {
            assert!(scripts.files().contains_key(name), "{name}");
        }
        assert!(
            scripts
                .files()
                .keys()
                .all(|name| !name.starts_with("tests") && !name.contains("/."))
        );
        assert_eq!(scripts.files()["pod/supervisor"].0, 0o700);
        assert_eq!(scripts.files()["lib/base.sh"].0, 0o600);
    }

    #[test]
    fn every_change_changes_the_hash() {
        let own = tempfile::tempdir().unwrap();
        let embedded = Scripts::embedded();
        std::fs::create_dir_all(own.path().join("batch/pbs")).unwrap();
        std::fs::write(own.path().join("batch/pbs/submit"), "#!/bin/sh\n").unwrap();
        let one = embedded.with_directory(own.path()).unwrap();
        assert_eq!(one.files()["batch/pbs/submit"].0, 0o700);
        std::fs::write(own.path().join("batch/pbs/submit"), "#!/bin/sh\n\n").unwrap();
        let two = embedded.with_directory(own.path()).unwrap();
        assert!(embedded.hash() != one.hash() && one.hash() != two.hash());
        assert_eq!(Scripts::embedded().hash(), embedded.hash());
        assert!(one.expect_batch("pbs").is_ok() && embedded.expect_batch("pbs").is_err());
        assert_eq!(embedded.with_site(None).unwrap().hash(), embedded.hash());
    }

    #[test]
    fn a_name_that_is_not_there_is_answered_with_those_that_are() {
        let scripts = Scripts::embedded();
        assert!(scripts.expect_runtime("apptainer").is_ok() && scripts.expect_batch("slurm").is_ok());
        let said = |result: Result<(), Error>| result.unwrap_err().to_string();
        let runtime = said(scripts.expect_runtime("docker"));
        assert!(
            runtime.contains("no container runtime \"docker\"") && runtime.contains("apptainer, none"),
            "{runtime}"
        );
        let batch = said(scripts.expect_batch("pbs"));
        assert!(
            batch.contains("no batch system \"pbs\"") && batch.contains("host, slurm"),
            "{batch}"
        );
        assert!(scripts.expect_batch("host/submit").is_err() && scripts.expect_runtime("").is_err());
    }

    #[test]
    fn a_sites_own_script_replaces_none_of_ours() {
        let own = tempfile::tempdir().unwrap();
        assert!(matches!(
            Scripts::embedded().with_directory(own.path()),
            Err(Error::Invalid(_))
        ));
        std::fs::create_dir_all(own.path().join("container")).unwrap();
        std::fs::write(own.path().join("container/none"), "#!/bin/sh\n").unwrap();
        assert!(matches!(
            Scripts::embedded().with_directory(own.path()),
            Err(Error::Invalid(_))
        ));
    }
}
