//! Where something is copied from or to.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// One end of a copy.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// A path of this machine.
    Here(PathBuf),
    /// In a container.
    There {
        /// Of which pod, as a person calls it.
        pod: String,
        /// The path there.
        path: Inside,
    },
}

impl End {
    /// Reads it: POD:PATH or NAMESPACE/POD:PATH is in a pod. A path with a colon in it is written with `./` before it.
    ///
    /// # Errors
    /// It is neither.
    pub fn of(text: &str) -> anyhow::Result<Self> {
        let Some((pod, path)) = text.split_once(':') else {
            if text.is_empty() {
                bail!("a path to copy is empty");
            }
            return Ok(Self::Here(text.into()));
        };
        if pod.starts_with(['.', '/']) || pod.matches('/').count() > 1 {
            return Ok(Self::Here(text.into()));
        }
        if pod.is_empty() || path.is_empty() || pod.starts_with('/') || pod.ends_with('/') {
            bail!("{text:?} is neither a path of this machine nor POD:PATH");
        }
        Ok(Self::There {
            pod: pod.to_owned(),
            path: Inside::new(path),
        })
    }
}

/// A path in a container: it has nothing to do with the paths of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inside(String);

impl Inside {
    fn new(path: &str) -> Self {
        // An end of `/` says nothing that matters here.
        let trimmed = path.trim_end_matches('/');
        Self(if trimmed.is_empty() { "/" } else { trimmed }.to_owned())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Something in it.
    pub fn join(&self, name: &str) -> Self {
        Self(format!("{}/{name}", self.0.trim_end_matches('/')))
    }

    /// The directory that it is in (empty: where commands begin) and its name there.
    ///
    /// # Errors
    /// It has no name of its own.
    pub fn split(&self) -> anyhow::Result<(&str, &str)> {
        match self.split_or_whole() {
            (_, ".") => bail!("{} has no name to copy to", self.0),
            found => Ok(found),
        }
    }

    /// The same, with `.` for what has no name of its own.
    pub fn split_or_whole(&self) -> (&str, &str) {
        let (directory, name) = match self.0.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some(found) => found,
            None => ("", self.0.as_str()),
        };
        match name {
            "" | "." | ".." => (&self.0, "."),
            name => (directory, name),
        }
    }
}

/// The name of a file of this machine, also where the path does not end with one.
///
/// # Errors
/// It has none, or none that a command could be given.
pub fn name_of(path: &Path) -> anyhow::Result<String> {
    let whole = match path.file_name() {
        Some(_) => path.to_owned(),
        None => (path.canonicalize()).with_context(|| format!("failed to read {}", path.display()))?,
    };
    let name = whole.file_name().and_then(|name| name.to_str());
    Ok(name
        .with_context(|| format!("{} has no name that can be written in a container", path.display()))?
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_stands_before_a_colon() {
        let there = |pod: &str, path: &str| End::There {
            pod: pod.to_owned(),
            path: Inside(path.to_owned()),
        };
        for (text, end) in [
            ("web:/tmp/x", there("web", "/tmp/x")),
            ("ns/web:x/", there("ns/web", "x")),
            ("web:/", there("web", "/")),
            ("web:a:b", there("web", "a:b")),
            ("plain", End::Here("plain".into())),
            ("./a:b", End::Here("./a:b".into())),
            ("/a/b:c", End::Here("/a/b:c".into())),
            ("a/b/c:d", End::Here("a/b/c:d".into())),
        ] {
            assert_eq!(End::of(text).unwrap(), end, "{text}");
        }
        for wrong in ["", ":x", "web:", "ns/:x"] {
            assert!(End::of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_there_is_a_directory_and_a_name() {
        for (path, directory, name) in [
            ("/tmp/x", "/tmp", "x"),
            ("/x", "/", "x"),
            ("x", "", "x"),
            ("a/b", "a", "b"),
            ("/", "/", "."),
            (".", ".", "."),
            ("/a/..", "/a/..", "."),
            ("-x", "", "-x"),
        ] {
            assert_eq!(Inside::new(path).split_or_whole(), (directory, name), "{path}");
        }
        assert!(Inside::new("/").split().is_err());
        assert_eq!(Inside::new("/").join("x").as_str(), "/x");
        assert_eq!(Inside::new("/tmp/").join("x").as_str(), "/tmp/x");
    }
}
