use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use proptest::prelude::*;
use russh::keys::PrivateKey;
use russh::keys::key::safe_rng;
use russh::keys::ssh_key::certificate::Builder;

use super::*;

fn key(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut safe_rng(), algorithm).unwrap()
}

fn ed25519() -> PrivateKey {
    key(Algorithm::Ed25519)
}

fn line(names: &str, key: &PrivateKey) -> String {
    format!("{names} {}\n", key.public_key().to_openssh().unwrap())
}

fn known(text: &str, host: &str, port: u16) -> KnownHosts {
    let mut known = KnownHosts::empty(host, port, None);
    known.add(Path::new("hosts"), text);
    known
}

fn accepts(text: &str, host: &str, port: u16, key: &PrivateKey) -> bool {
    matches!(
        known(text, host, port).check(key.public_key().key_data()),
        Verdict::Known
    )
}

fn hashed(name: &str) -> String {
    let salt = [7u8; 20];
    let mac = Hmac::<sha1::Sha1>::new_from_slice(&salt).unwrap().chain_update(name);
    format!(
        "|1|{}|{}",
        STANDARD.encode(salt),
        STANDARD.encode(mac.finalize().into_bytes())
    )
}

#[test]
fn names_ports_wildcards_and_hashes_are_found() {
    let key = ed25519();
    for (names, host, port) in [
        ("login", "login", 22),
        ("LOGIN", "Login", 22),
        ("other,login", "login", 22),
        ("*.site.org,!bad.site.org", "a.site.org", 22),
        ("[login]:2222", "login", 2222),
        ("[login]:*", "login", 2222),
        (hashed("login").as_str(), "login", 22),
        (hashed("[login]:2222").as_str(), "login", 2222),
        ("[::1]:2222", "::1", 2222),
    ] {
        assert!(accepts(&line(names, &key), host, port, &key), "{names} {host} {port}");
    }
    for (names, host, port) in [
        ("login", "login2", 22),
        ("login", "login", 2222),
        ("[login]:2222", "login", 22),
        ("*.site.org,!bad.site.org", "bad.site.org", 22),
        (hashed("login").as_str(), "login", 2222),
    ] {
        assert!(!accepts(&line(names, &key), host, port, &key), "{names} {host} {port}");
    }
}

#[test]
fn several_keys_of_one_host_are_all_good() {
    let (one, two) = (ed25519(), ed25519());
    let text = line("login", &one) + &line("login", &two);
    assert!(accepts(&text, "login", 22, &one) && accepts(&text, "login", 22, &two));
}

#[test]
fn a_changed_key_is_refused_with_both_fingerprints() {
    let (old, new) = (ed25519(), ed25519());
    let text = format!("# comment\n\n{}", line("login", &old));
    match known(&text, "login", 22).check(new.public_key().key_data()) {
        Verdict::Refused(Error::HostKeyChanged {
            offered, known, line, ..
        }) => {
            assert_eq!(offered, fingerprint(new.public_key().key_data()));
            assert_eq!((known, line), (fingerprint(old.public_key().key_data()), 3));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_of_another_kind_is_a_change_and_not_a_first_use() {
    let other = key(Algorithm::Ecdsa {
        curve: EcdsaCurve::NistP256,
    });
    let verdict = known(&line("login", &ed25519()), "login", 22).check(other.public_key().key_data());
    assert!(
        matches!(verdict, Verdict::Refused(Error::HostKeyChanged { .. })),
        "{verdict:?}"
    );
}

#[test]
fn comments_do_not_matter() {
    let mut key = ed25519();
    let text = line("login", &key);
    key.set_comment("somebody else");
    assert!(accepts(&text, "login", 22, &key));
}

#[test]
fn a_revoked_key_is_refused_even_where_it_is_listed() {
    let key = ed25519();
    let text = line("login", &key) + &line("@revoked *", &key);
    let verdict = known(&text, "login", 22).check(key.public_key().key_data());
    assert!(
        matches!(verdict, Verdict::Refused(Error::HostKeyRevoked { line: 2, .. })),
        "{verdict:?}"
    );
}

#[test]
fn an_authority_s_key_is_no_host_key() {
    let key = ed25519();
    let verdict = known(&line("@cert-authority *", &key), "login", 22).check(key.public_key().key_data());
    assert!(matches!(verdict, Verdict::Unknown), "{verdict:?}");
}

#[test]
fn unreadable_lines_hide_nothing() {
    let key = ed25519();
    let text = format!(
        "@future x y z\nlogin ssh-ed25519 AAAA\n|1|x\n\u{fffd}\n{}",
        line("login", &key)
    );
    assert!(accepts(&text, "login", 22, &key));
}

#[test]
fn an_alias_is_looked_up_as_it_is() {
    assert_eq!(name_of("Host", 2222, Some("cluster")), "cluster");
    assert_eq!(name_of("Host", 2222, None), "[host]:2222");
    assert_eq!(name_of("Host", 22, None), "host");
}

#[test]
fn known_kinds_are_asked_for_first() {
    let rsa_first = known(
        &line(
            "login",
            &key(Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP521,
            }),
        ),
        "login",
        22,
    );
    let order = rsa_first.preferred_algorithms();
    assert_eq!(
        order[0],
        Algorithm::Ecdsa {
            curve: EcdsaCurve::NistP521
        }
    );
    assert_eq!(order.len(), ALGORITHMS.len());
    assert!(!order.contains(&Algorithm::Rsa { hash: None }), "no SHA-1");
}

fn certificate(authority: &PrivateKey, kind: CertType, principal: &str) -> Certificate {
    let host = ed25519();
    let mut builder = Builder::new_with_random_nonce(&mut safe_rng(), host.public_key(), 1000, 2000).unwrap();
    builder.cert_type(kind).unwrap();
    builder.key_id("test").unwrap();
    builder.valid_principal(principal).unwrap();
    builder.sign(authority).unwrap()
}

#[test]
fn a_certificate_needs_its_authority_its_name_its_kind_and_its_time() {
    let authority = ed25519();
    let trusted = known(&line("@cert-authority *.org", &authority), "login.org", 22);
    assert!(trusted.has_authority());
    let good = certificate(&authority, CertType::Host, "login.org");
    assert!(matches!(
        trusted.check_certificate(&good, "login.org", 1500),
        Verdict::Known
    ));
    let refused = |certificate: &Certificate, now| {
        let verdict = trusted.check_certificate(certificate, "login.org", now);
        matches!(verdict, Verdict::Refused(Error::HostCertificate { .. }))
    };
    assert!(refused(&good, 999) && refused(&good, 2000), "outside of its time");
    assert!(
        refused(&certificate(&authority, CertType::User, "login.org"), 1500),
        "a user's"
    );
    assert!(
        refused(&certificate(&authority, CertType::Host, "evil.org"), 1500),
        "another host's"
    );
    let stranger = certificate(&ed25519(), CertType::Host, "login.org");
    let verdict = trusted.check_certificate(&stranger, "login.org", 1500);
    assert!(
        matches!(verdict, Verdict::Unknown),
        "of an authority that nobody knows: {verdict:?}"
    );
}

#[test]
fn a_revoked_authority_makes_its_certificates_worthless() {
    let authority = ed25519();
    let text = line("@cert-authority *", &authority) + &line("@revoked *", &authority);
    let verdict =
        known(&text, "login", 22).check_certificate(&certificate(&authority, CertType::Host, "login"), "login", 1500);
    assert!(
        matches!(verdict, Verdict::Refused(Error::HostKeyRevoked { .. })),
        "{verdict:?}"
    );
}

#[test]
fn what_is_appended_is_found_again_and_the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("new/known_hosts");
    let (one, two) = (ed25519(), ed25519());
    append(&file, "a", one.public_key()).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // A file whose last line was not ended must not swallow the new one.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.trim_end()).unwrap();
    append(&file, "[b]:2", two.public_key()).unwrap();
    let files = [file];
    for (host, port, key) in [("a", 22, one), ("b", 2, two)] {
        let known = KnownHosts::read(&files, host, port, None).unwrap();
        assert!(matches!(known.check(key.public_key().key_data()), Verdict::Known));
    }
}

proptest! {
    #[test]
    fn no_line_makes_the_reader_fail(line in "\\PC{0,80}") {
        let _ = Entry::parse(&line);
    }
}
