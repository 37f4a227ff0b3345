//! A certificate with its key.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rand::Rng;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::Error;
use crate::identity::files::{read_optional, write_private};

/// The organisation of every node.
pub(crate) const NODES: &str = "system:nodes";

/// The user that a node is.
pub(crate) fn user_of(node: &str) -> String {
    format!("system:node:{node}")
}

/// The subject of a node's certificates.
pub(crate) fn subject(node: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, NODES);
    name.push(DnType::CommonName, user_of(node));
    name
}

/// A new ECDSA P-256 key.
pub(crate) fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|error| Error::certificate("make a key", error))
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub names: Vec<String>,
    pub not_before: SystemTime,
    pub not_after: SystemTime,
    public_key: Vec<u8>,
}

/// A certificate chain with its key, PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub chain: String,
    pub key: String,
    pub facts: Facts,
}

impl Pair {
    /// Puts the two together after checking that they belong together.
    pub fn new(chain: String, key: String, what: &str) -> Result<Self, Error> {
        let facts = Facts::read(chain.as_bytes(), what)?;
        let parsed = KeyPair::from_pem(&key);
        // Keys that rcgen cannot read (PKCS#1) are checked by rustls when they are used.
        if parsed.is_ok_and(|key| key.public_key_raw() != facts.public_key) {
            return Err(Error::certificate(
                format!("use {what}"),
                "the key belongs to another certificate",
            ));
        }
        Ok(Self { chain, key, facts })
    }

    /// Reads a file that holds certificate and key; `None` if there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, Error> {
        let Some(content) = read_optional(path)? else {
            return Ok(None);
        };
        let what = path.display().to_string();
        let bad = |why: &dyn std::fmt::Display| Error::certificate(format!("use {what}"), why);
        let text = String::from_utf8(content).map_err(|error| bad(&error))?;
        let at = text
            .find("-----BEGIN PRIVATE KEY")
            .ok_or_else(|| bad(&"it holds no key"))?;
        let (chain, key) = text.split_at(at);
        Self::new(chain.to_owned(), key.to_owned(), &what).map(Some)
    }

    /// Writes both into one file, so that they cannot be told apart by a crash.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        write_private(path, format!("{}\n{}", self.chain.trim_end(), self.key).as_bytes())
    }

    /// Whether it may still be used for a while.
    pub fn usable(&self, now: SystemTime) -> bool {
        self.facts.not_before <= now + Duration::from_secs(300) && now + Duration::from_secs(60) < self.facts.not_after
    }

    /// A certificate that nobody signed, good for a year.
    pub fn self_signed(node: &str, names: &[String]) -> Result<Self, Error> {
        let make = |error: rcgen::Error| Error::certificate("make a self-signed certificate", error);
        let key = new_key()?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
        params.distinguished_name = subject(node);
        params.not_before = (SystemTime::now() - Duration::from_secs(300)).into();
        params.not_after = (SystemTime::now() + Duration::from_secs(365 * 86_400)).into();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key).map_err(make)?;
        Self::new(certificate.pem(), key.serialize_pem(), "the self-signed certificate")
    }

    /// For rustls.
    pub fn certified(&self, what: &str) -> Result<rustls::sign::CertifiedKey, Error> {
        let bad = |why: String| Error::certificate(format!("use {what}"), why);
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| bad(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| bad(error.to_string()))?;
        let signer = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|error| bad(error.to_string()))?;
        let certified = rustls::sign::CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(certified),
            Err(error) => Err(bad(error.to_string())),
        }
    }
}

impl Facts {
    /// Reads the first certificate of a chain.
    pub fn read(chain: &[u8], what: &str) -> Result<Self, Error> {
        let bad = |why: &dyn std::fmt::Display| Error::certificate(format!("read the certificate of {what}"), why);
        let der = CertificateDer::from_pem_slice(chain).map_err(|error| bad(&error))?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| bad(&error))?;
        let time = |seconds: i64| SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
        let names = parsed
            .subject_alternative_name()
            .map_err(|error| bad(&error))?
            .map(|extension| extension.value.general_names.iter().filter_map(name_of).collect())
            .unwrap_or_default();
        Ok(Self {
            common_name: parsed
                .subject()
                .iter_common_name()
                .find_map(|name| name.as_str().ok())
                .unwrap_or_default()
                .to_owned(),
            organizations: parsed
                .subject()
                .iter_organization()
                .filter_map(|name| name.as_str().ok().map(str::to_owned))
                .collect(),
            names,
            not_before: time(parsed.validity().not_before.timestamp()),
            not_after: time(parsed.validity().not_after.timestamp()),
            public_key: parsed.public_key().subject_public_key.data.to_vec(),
        })
    }

    /// Whether this is a client certificate of that node.
    pub fn identifies(&self, node: &str) -> bool {
        self.common_name == user_of(node) && self.organizations.iter().any(|name| name == NODES)
    }

    /// When to replace it: somewhere between 70 and 90 % of its life, so that a fleet does not ask at once.
    pub fn rotate_at(&self) -> SystemTime {
        self.at_fraction(rand::rng().random_range(0.7..0.9))
    }

    fn at_fraction(&self, fraction: f64) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life.mul_f64(fraction)
    }
}

fn name_of(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes)
                .ok()
                .map(|ip| std::net::IpAddr::from(ip).to_string()),
            16 => <[u8; 16]>::try_from(*bytes)
                .ok()
                .map(|ip| std::net::IpAddr::from(ip).to_string()),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_signed_certificate_names_the_node_and_its_addresses() {
        let names = vec!["127.0.0.1".to_owned(), "::1".to_owned(), "login.example".to_owned()];
        let pair = Pair::self_signed("hpc", &names).unwrap();
        assert!(pair.facts.identifies("hpc"));
        assert!(!pair.facts.identifies("hp"));
        assert_eq!(pair.facts.names, names);
        assert!(pair.usable(SystemTime::now()));
        assert!(!pair.usable(pair.facts.not_after));
        pair.certified("it").unwrap();
    }

    #[test]
    fn a_pair_survives_the_disk_and_a_foreign_key_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("client.pem");
        assert!(Pair::load(&path).unwrap().is_none());
        let one = Pair::self_signed("hpc", &[]).unwrap();
        let two = Pair::self_signed("hpc", &[]).unwrap();
        one.save(&path).unwrap();
        assert_eq!(Pair::load(&path).unwrap().unwrap().facts, one.facts);
        assert!(Pair::new(one.chain, two.key, "mixed").is_err());
        write_private(&path, b"rubbish").unwrap();
        assert!(Pair::load(&path).is_err());
    }

    #[test]
    fn rotation_falls_between_seventy_and_ninety_percent_of_the_life() {
        let facts = Pair::self_signed("hpc", &[]).unwrap().facts;
        for _ in 0..100 {
            let at = facts.rotate_at();
            assert!(at >= facts.at_fraction(0.7) && at <= facts.at_fraction(0.9));
        }
    }
}
