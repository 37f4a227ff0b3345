//! Who asks, as the API server knows users.

use std::collections::BTreeMap;

use k8s_openapi::api::authentication::v1::UserInfo;
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

/// The group of everybody who is somebody.
const AUTHENTICATED: &str = "system:authenticated";
/// Which credential it was, for the API server's audit log.
const CREDENTIAL: &str = "authentication.kubernetes.io/credential-id";

/// A user. It always has a name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// `system:kube-apiserver`, …
    pub name: String,
    /// Tells apart users that had the same name at different times.
    pub uid: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// What else there is to know.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// A user as a token review tells it.
    pub fn of_review(info: UserInfo) -> Option<Self> {
        let name = info.username.filter(|name| !name.is_empty())?;
        let user = Self {
            name,
            uid: info.uid.filter(|uid| !uid.is_empty()),
            groups: info.groups.unwrap_or_default(),
            extra: info.extra.unwrap_or_default(),
        };
        Some(user.authenticated())
    }

    fn authenticated(mut self) -> Self {
        if !self.groups.iter().any(|group| group == AUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }
}

/// A user who has proved to have a client certificate that one of our CAs signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certified {
    /// Common name and organisations.
    pub user: User,
    /// Until when the certificate holds, seconds since 1970. Connections may live longer.
    pub not_after: i64,
}

impl Certified {
    /// Reads a certificate that has been verified. `None` if it names nobody.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let subject = certificate.subject();
        // As in Go, the last common name counts.
        let name = subject.iter_common_name().last()?.as_str().ok()?;
        let groups = subject.iter_organization().filter_map(|group| group.as_str().ok());
        let hash: String = Sha256::digest(der).iter().map(|byte| format!("{byte:02x}")).collect();
        let user = User {
            name: name.to_owned(),
            uid: None,
            groups: groups.map(str::to_owned).collect(),
            extra: BTreeMap::from([(CREDENTIAL.to_owned(), vec![format!("X509SHA256={hash}")])]),
        };
        (!name.is_empty()).then(|| Self {
            user: user.authenticated(),
            not_after: certificate.validity().not_after.timestamp(),
        })
    }

    /// The user, if the certificate still holds at this time (seconds since 1970).
    pub fn user_at(&self, second: i64) -> Option<&User> {
        (second <= self.not_after).then_some(&self.user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    fn certificate(name: Option<&str>, groups: &[&str]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificates_names_are_a_user_and_its_group() {
        let found = Certified::read(&certificate(Some("system:apiserver"), &["system:masters"])).unwrap();
        assert_eq!(found.user.name, "system:apiserver");
        assert_eq!(found.user.groups, ["system:masters", AUTHENTICATED]);
        assert!(found.user.extra[CREDENTIAL][0].starts_with("X509SHA256="));
        assert_eq!(found.user_at(found.not_after), Some(&found.user));
        assert_eq!(found.user_at(found.not_after + 1), None);
    }

    #[test]
    fn a_certificate_without_a_name_is_nobody() {
        assert_eq!(Certified::read(&certificate(None, &["system:masters"])), None);
        assert_eq!(Certified::read(&certificate(Some(""), &[])), None);
        assert_eq!(Certified::read(b"\x30\x03"), None);
    }

    #[test]
    fn a_review_without_a_name_is_nobody() {
        assert_eq!(User::of_review(UserInfo::default()), None);
        let named = UserInfo {
            username: Some("u".to_owned()),
            groups: Some(vec![AUTHENTICATED.to_owned()]),
            ..UserInfo::default()
        };
        assert_eq!(User::of_review(named).unwrap().groups, [AUTHENTICATED]);
    }
}
