//! Host keys that are known, in OpenSSH's files.
//!
//! Our own reading, because the one of the SSH library takes a second key of a host for a changed key and knows neither
//! `@revoked`, `@cert-authority` nor wildcards. [`entry`] reads lines, [`KnownHosts`] answers for one host, [`append`]
//! writes down what was accepted. Keys are compared by their data, never by their comments.

pub mod entry;

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{Algorithm, Certificate, EcdsaCurve, HashAlg, PublicKey};

use crate::error::Error;
use entry::{Entry, Marker};

/// What is known about one host.
#[derive(Debug)]
pub struct KnownHosts {
    /// Host and port for messages.
    host: String,
    /// Names that the lines of the files were compared with.
    names: Vec<String>,
    entries: Vec<Found>,
    files: Vec<PathBuf>,
}

#[derive(Debug)]
struct Found {
    entry: Entry,
    file: PathBuf,
    line: usize,
}

/// What to do about a key that a host shows.
#[derive(Debug)]
pub enum Verdict {
    /// It is known.
    Known,
    /// Nothing is known of this host.
    Unknown,
    /// Stop; the error says why.
    Refused(Error),
}

/// The name under which a host is looked up: an alias as it is, else the host with its port unless that is 22.
pub fn name_of(host: &str, port: u16, alias: Option<&str>) -> String {
    match alias {
        Some(alias) => alias.to_owned(),
        None if port == 22 => host.to_lowercase(),
        None => format!("[{}]:{port}", host.to_lowercase()),
    }
}

impl KnownHosts {
    /// Reads what the files say about a host. Lines that cannot be read are left out, as OpenSSH does.
    ///
    /// # Errors
    /// A file that exists and cannot be read: the answer would not be sure.
    pub fn read(files: &[PathBuf], host: &str, port: u16, alias: Option<&str>) -> Result<Self, Error> {
        let mut known = Self::empty(host, port, alias);
        for file in files {
            match std::fs::read(file) {
                Ok(text) => known.add(file, &String::from_utf8_lossy(&text)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::Invalid(format!("failed to read {}: {error}", file.display())));
                }
            }
            known.files.push(file.clone());
        }
        Ok(known)
    }

    fn empty(host: &str, port: u16, alias: Option<&str>) -> Self {
        Self {
            host: format!("{host}:{port}"),
            names: vec![name_of(host, port, alias)],
            entries: Vec::new(),
            files: Vec::new(),
        }
    }

    fn add(&mut self, file: &Path, text: &str) {
        for (index, line) in text.lines().enumerate() {
            if let Some(entry) = Entry::parse(line)
                && self.names.iter().any(|name| entry.names.fit(name))
            {
                self.entries.push(Found {
                    entry,
                    file: file.to_owned(),
                    line: index + 1,
                });
            }
        }
    }

    fn with(&self, marker: Marker) -> impl Iterator<Item = &Found> {
        self.entries.iter().filter(move |found| found.entry.marker == marker)
    }

    fn revoked(&self, key: &KeyData) -> Option<Error> {
        let found = self.with(Marker::Revoked).find(|found| found.entry.key == *key)?;
        Some(Error::HostKeyRevoked {
            host: self.host.clone(),
            fingerprint: fingerprint(key),
            file: found.file.display().to_string(),
            line: found.line,
        })
    }

    /// Judges a plain key.
    pub fn check(&self, key: &KeyData) -> Verdict {
        if let Some(error) = self.revoked(key) {
            return Verdict::Refused(error);
        }
        if self.with(Marker::None).any(|found| found.entry.key == *key) {
            return Verdict::Known;
        }
        // A key of the same kind tells most; another kind is a change as well, or a thief would only offer another kind.
        let same = |found: &&Found| same_kind(&found.entry.key, key);
        match self
            .with(Marker::None)
            .find(same)
            .or_else(|| self.with(Marker::None).next())
        {
            Some(found) => Verdict::Refused(Error::HostKeyChanged {
                host: self.host.clone(),
                offered: fingerprint(key),
                known: fingerprint(&found.entry.key),
                file: found.file.display().to_string(),
                line: found.line,
            }),
            None => Verdict::Unknown,
        }
    }

    /// Judges a host certificate at a time in seconds since 1970. One that no known authority signed counts as its key.
    ///
    /// `host`: the name that the certificate has to be made out to.
    pub fn check_certificate(&self, certificate: &Certificate, host: &str, now: u64) -> Verdict {
        for key in [certificate.public_key(), certificate.signature_key()] {
            if let Some(error) = self.revoked(key) {
                return Verdict::Refused(error);
            }
        }
        let authority = certificate.signature_key();
        if !self
            .with(Marker::CertAuthority)
            .any(|found| found.entry.key == *authority)
        {
            return self.check(certificate.public_key());
        }
        let wrong = |why: String| {
            Verdict::Refused(Error::HostCertificate {
                host: self.host.clone(),
                why,
            })
        };
        if certificate.cert_type() != CertType::Host {
            return wrong("it is made out to a user and not to a host".to_owned());
        }
        // An empty list would be good for every host; OpenSSH refuses it as well.
        let principals = certificate.valid_principals();
        if !principals
            .iter()
            .any(|name| crate::pattern::fits(&name.to_lowercase(), &host.to_lowercase()))
        {
            return wrong(format!("it is made out to {} and not to {host}", principals.join(", ")));
        }
        if !certificate.critical_options().is_empty() {
            return wrong("it has critical options, which no host certificate may have".to_owned());
        }
        match certificate.validate_at(now, [&authority.fingerprint(HashAlg::Sha256)]) {
            Ok(()) => Verdict::Known,
            Err(_) => wrong(format!(
                "it is valid from {} until {} (seconds since 1970; now is {now}), or its signature is wrong",
                certificate.valid_after(),
                certificate.valid_before()
            )),
        }
    }

    /// The error for a host of which nothing is known.
    pub fn unknown(&self, key: &PublicKey) -> Error {
        let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        Error::HostKeyUnknown {
            host: self.host.clone(),
            kind: key.algorithm().to_string(),
            fingerprint: fingerprint(key.key_data()),
            files: files.join(", "),
        }
    }

    /// Algorithms to ask the host for, those of which a key is known first, so that it does not show another one.
    pub fn preferred_algorithms(&self) -> Vec<Algorithm> {
        let known = |algorithm: &Algorithm| {
            self.with(Marker::None)
                .any(|found| kind_of(&found.entry.key.algorithm()) == kind_of(algorithm))
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = ALGORITHMS.iter().cloned().partition(known);
        first.extend(rest);
        first
    }

    /// Whether a certificate of this host could be checked.
    pub fn has_authority(&self) -> bool {
        self.with(Marker::CertAuthority).next().is_some()
    }
}

/// Host key algorithms in the order of OpenSSH. RSA with SHA-1 is not among them.
const ALGORITHMS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP384,
    },
    Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP521,
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha512),
    },
    Algorithm::Rsa {
        hash: Some(HashAlg::Sha256),
    },
];

/// An RSA key is the same kind whatever it signs with.
fn kind_of(algorithm: &Algorithm) -> Algorithm {
    match algorithm {
        Algorithm::Rsa { .. } => Algorithm::Rsa { hash: None },
        other => other.clone(),
    }
}

fn same_kind(one: &KeyData, other: &KeyData) -> bool {
    kind_of(&one.algorithm()) == kind_of(&other.algorithm())
}

/// `SHA256:…`, as `ssh-keygen -l` prints it.
pub fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// Adds a key to a file, which is created for its owner alone.
///
/// # Errors
/// What the file system says.
pub fn append(file: &Path, name: &str, key: &PublicKey) -> std::io::Result<()> {
    if let Some(directory) = file.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let gap = if text.is_empty() || text.ends_with(b"\n") {
        ""
    } else {
        "\n"
    };
    let key = PublicKey::new(key.key_data().clone(), "")
        .to_openssh()
        .map_err(std::io::Error::other)?;
    let mut out = std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?;
    // One write, so that two processes do not mix their lines.
    out.write_all(format!("{gap}{name} {}\n", key.trim_end()).as_bytes())
}

#[cfg(test)]
mod tests;
