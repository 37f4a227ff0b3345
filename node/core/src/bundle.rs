//! A pod as it is sent to the cluster: the tree of files that becomes `pods/UID/`.

use std::collections::BTreeMap;

/// One entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A directory with its mode.
    Directory(u32),
    /// A file with its mode and content.
    File(u32, Vec<u8>),
    /// A symbolic link with its target, always relative and inside the tree.
    Symlink(String),
}

/// A pod's directory. Paths are relative and made of names that translation has checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The pod.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Entries by path; a parent sorts before its children.
    pub entries: BTreeMap<String, Entry>,
}

impl Bundle {
    /// Adds a directory.
    pub fn directory(&mut self, path: impl Into<String>, mode: u32) {
        self.entries.insert(path.into(), Entry::Directory(mode));
    }

    /// Adds a file that only scripts read.
    pub fn file(&mut self, path: impl Into<String>, content: impl Into<Vec<u8>>) {
        self.entries.insert(path.into(), Entry::File(0o600, content.into()));
    }

    /// A file in this directory has this text in it.
    pub fn names(&self, directory: &str, text: &str) -> bool {
        let inside = |path: &str| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        self.entries.iter().any(|(path, entry)| match entry {
            Entry::File(_, content) => inside(path) && String::from_utf8_lossy(content).contains(text),
            _ => false,
        })
    }

    /// Size of all contents in bytes.
    pub fn size(&self) -> usize {
        self.entries
            .values()
            .map(|entry| {
                if let Entry::File(_, content) = entry {
                    content.len()
                } else {
                    0
                }
            })
            .sum()
    }
}
