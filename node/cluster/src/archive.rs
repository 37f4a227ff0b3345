//! Pods as one tar stream: a directory per UID and, last, `MANIFEST`, which is there only if all of it arrived.

use std::collections::BTreeMap;
use std::io;

use tar::{Builder, EntryType, Header};
use towline_core::bundle::{Bundle, Entry};

use crate::error::Error;

/// The upload of `pod/submit`, byte for byte.
///
/// # Errors
/// [`Error::Local`] for a path that tar cannot carry.
pub fn archive(bundles: &[Bundle]) -> Result<Vec<u8>, Error> {
    of_pods(bundles.iter().map(|bundle| (bundle.uid.as_str(), &bundle.entries)))
}

/// Entries of several pods, each below its UID.
pub(crate) fn of_pods<'a>(
    pods: impl Iterator<Item = (&'a str, &'a BTreeMap<String, Entry>)>,
) -> Result<Vec<u8>, Error> {
    let mut tar = Writer::default();
    let mut manifest = String::new();
    for (uid, entries) in pods {
        tar.directory(uid, 0o700)?;
        for (path, entry) in entries {
            let path = format!("{uid}/{path}");
            match entry {
                Entry::Directory(mode) => tar.directory(&path, *mode)?,
                Entry::File(mode, content) => tar.file(&path, *mode, content)?,
                Entry::Symlink(target) => tar.symlink(&path, target)?,
            }
        }
        manifest.push_str(uid);
        manifest.push('\n');
    }
    tar.file("MANIFEST", 0o600, manifest.as_bytes())?;
    tar.finish()
}

/// Writes a tar archive in memory that depends on its content only: no times, no owners.
pub(crate) struct Writer(Builder<Vec<u8>>);

impl Default for Writer {
    fn default() -> Self {
        Self(Builder::new(Vec::new()))
    }
}

impl Writer {
    pub(crate) fn directory(&mut self, path: &str, mode: u32) -> Result<(), Error> {
        self.append(EntryType::Directory, path, mode, &[])
    }

    pub(crate) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        self.append(EntryType::Regular, path, mode, content)
    }

    fn symlink(&mut self, path: &str, target: &str) -> Result<(), Error> {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        self.0
            .append_link(&mut header, path, target)
            .map_err(|source| cannot(path, source))
    }

    fn append(&mut self, kind: EntryType, path: &str, mode: u32, content: &[u8]) -> Result<(), Error> {
        let mut header = header(kind, mode, content.len() as u64);
        self.0
            .append_data(&mut header, path, content)
            .map_err(|source| cannot(path, source))
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, Error> {
        self.0.into_inner().map_err(|source| cannot("the archive", source))
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn cannot(path: &str, source: io::Error) -> Error {
    Error::Local {
        what: format!("pack {path}"),
        source,
    }
}
