//! What the volumes that come from the API hold on the cluster: the file `content` of a pod's directory.
//!
//! One line: the generation, when the tokens have to be replaced (or `-`), and `VOLUME=DIGEST` for each volume. It is
//! replaced last by an update and read by a scan, so that a restarted agent knows what is there without sending it again.

use std::collections::BTreeMap;
use std::fmt;

use crate::bundle::{Bundle, Entry};
use crate::translate::References;

/// The file's name.
pub const FILE: &str = "content";

/// What is there. The default is nothing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Grows with each update; 0 is what came with the pod.
    pub generation: u64,
    /// When the first of the tokens has to be replaced, seconds since 1970.
    pub renew_at: Option<i64>,
    /// The [digest](crate::volumes::Files::digest) of each volume, by its name.
    pub volumes: BTreeMap<String, String>,
}

impl Content {
    /// Reads the line; `None` if it is none.
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.trim_end_matches('\n').split(' ');
        let generation = words.next()?.parse().ok()?;
        let renew_at = match words.next()? {
            "-" => None,
            at => Some(at.parse().ok()?),
        };
        let volumes = words.map(|word| {
            let (name, digest) = word.split_once('=')?;
            Some((name.to_owned(), digest.to_owned()))
        });
        Some(Self {
            generation,
            renew_at,
            volumes: volumes.collect::<Option<_>>()?,
        })
    }

    /// Adds the file to a new pod's directory, if any of its volumes comes from the API.
    pub fn add(mut self, bundle: &mut Bundle, references: &References) {
        self.renew_at = references.tokens.values().map(|token| token.renew_at).min();
        if !self.volumes.is_empty() {
            bundle.file(FILE, format!("{self}\n"));
        }
    }

    /// What a new pod's directory says; `None` if nothing in it comes from the API.
    pub fn of(bundle: &Bundle) -> Option<Self> {
        match bundle.entries.get(FILE)? {
            Entry::File(_, line) => Self::parse(std::str::from_utf8(line).ok()?),
            _ => None,
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.generation)?;
        match self.renew_at {
            Some(at) => write!(f, "{at}")?,
            None => f.write_str("-")?,
        }
        for (name, digest) in &self.volumes {
            write!(f, " {name}={digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let content = Content {
            generation: 1_700_000_000_123,
            renew_at: Some(5),
            volumes: BTreeMap::from([("a".into(), "01".into()), ("b-2".into(), "ff".into())]),
        };
        assert_eq!(content.to_string(), "1700000000123 5 a=01 b-2=ff");
        assert_eq!(Content::parse(&format!("{content}\n")), Some(content));
        assert_eq!(Content::parse("0 -"), Some(Content::default()));
    }

    #[test]
    fn what_was_cut_is_not_believed() {
        for bad in ["", "-", "1", "x -", "1 x", "1 - a"] {
            assert_eq!(Content::parse(bad), None, "{bad:?}");
        }
    }
}
