//! One line of a `known_hosts` file (`sshd(8)`, "SSH_KNOWN_HOSTS FILE FORMAT").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use russh::keys::PublicKey;
use russh::keys::ssh_key::public::KeyData;
use sha1::Sha1;

use crate::pattern::fits_any;

/// What a line's key stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    /// The host's own key.
    None,
    /// `@cert-authority`: it signs certificates of these hosts.
    CertAuthority,
    /// `@revoked`: it must never be accepted.
    Revoked,
}

/// Which hosts a line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// Patterns, negated ones among them.
    Plain(Vec<String>),
    /// `|1|salt|HMAC-SHA1(salt, name)`.
    Hashed {
        /// The key of the HMAC.
        salt: Vec<u8>,
        /// The HMAC of the name.
        hash: Vec<u8>,
    },
}

impl Names {
    fn parse(text: &str) -> Option<Self> {
        let Some(hashed) = text.strip_prefix("|1|") else {
            return Some(Self::Plain(text.split(',').map(str::to_lowercase).collect()));
        };
        let (salt, hash) = hashed.split_once('|')?;
        Some(Self::Hashed {
            salt: STANDARD.decode(salt).ok()?,
            hash: STANDARD.decode(hash).ok()?,
        })
    }

    /// Whether a host is meant, under the name that `known_hosts` has for it (`host` or `[host]:port`).
    pub fn fit(&self, name: &str) -> bool {
        match self {
            Self::Plain(patterns) => fits_any(patterns.iter().map(String::as_str), &name.to_lowercase()),
            Self::Hashed { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
                .is_ok_and(|mac| mac.chain_update(name.as_bytes()).verify_slice(hash).is_ok()),
        }
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the key stands for.
    pub marker: Marker,
    /// Which hosts are meant.
    pub names: Names,
    /// The key.
    pub key: KeyData,
}

impl Entry {
    /// Reads a line; `None` for comments, empty lines and what cannot be read.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let mut words = line.split_whitespace().peekable();
        let marker = match words.peek() {
            Some(word) if word.starts_with('@') => match words.next() {
                Some("@cert-authority") => Marker::CertAuthority,
                Some("@revoked") => Marker::Revoked,
                _ => return None,
            },
            _ => Marker::None,
        };
        let names = Names::parse(words.next()?)?;
        let (kind, data) = (words.next()?, words.next()?);
        let key = PublicKey::from_openssh(&format!("{kind} {data}")).ok()?;
        Some(Self {
            marker,
            names,
            key: key.key_data().clone(),
        })
    }
}
