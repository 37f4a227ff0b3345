//! Whom we talk to: nobody whose key is not known.

use towline_ssh::{Error, LinkState, Options, Remote, Ssh};

use crate::sshd::{Sshd, run};

async fn connect(options: Options) -> Result<(), Error> {
    Ssh::new(options).unwrap().connect_now().await
}

fn fingerprint(sshd: &Sshd, key: &str) -> String {
    let line = run("ssh-keygen", &["-l", "-f", &sshd.text(&format!("{key}.pub"))]);
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn an_unknown_host_is_refused_with_its_fingerprint() {
    let sshd = Sshd::start("");
    std::fs::write(sshd.path("known_hosts"), "").unwrap();
    let ssh = Ssh::new(sshd.options()).unwrap();
    let error = ssh.connect_now().await.unwrap_err();
    assert!(
        matches!(error, Error::HostKeyUnknown { .. }) && error.is_permanent(),
        "{error}"
    );
    assert!(error.to_string().contains(&fingerprint(&sshd, "host")), "{error}");
    assert!(matches!(&*ssh.link().borrow(), LinkState::Blocked { .. }));
    assert!(!sshd.log().contains("Accepted"), "nothing was proven to a stranger");
}

#[tokio::test]
async fn a_new_host_is_accepted_once_and_only_when_told_so() {
    let sshd = Sshd::start("");
    let file = sshd.path("fresh/known_hosts");
    let options = || Options {
        known_hosts_files: vec![file.clone()],
        ..sshd.options()
    };
    let ssh = Ssh::new(Options {
        accept_new_host_key: true,
        ..options()
    })
    .unwrap();
    ssh.connect_now().await.unwrap();
    let accepted = ssh.accepted_host_keys();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].fingerprint, fingerprint(&sshd, "host"));
    // OpenSSH finds it there as well, and so do we without being told to accept it.
    let name = format!("[127.0.0.1]:{}", sshd.port);
    run("ssh-keygen", &["-F", &name, "-f", &file.display().to_string()]);
    connect(options()).await.unwrap();
}

#[tokio::test]
async fn a_changed_key_stops_us_even_when_new_ones_are_accepted() {
    let sshd = Sshd::start("");
    sshd.keygen("older", &["-t", "ed25519", "-N", ""]);
    std::fs::write(sshd.path("known_hosts"), "# by hand\n").unwrap();
    sshd.know("older");
    let before = std::fs::read_to_string(sshd.path("known_hosts")).unwrap();
    let options = Options {
        accept_new_host_key: true,
        ..sshd.options()
    };
    let error = connect(options).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::HostKeyChanged { line: 2, .. }), "{text}");
    assert!(
        text.contains(&fingerprint(&sshd, "older")) && text.contains(&fingerprint(&sshd, "host")),
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(sshd.path("known_hosts")).unwrap(), before);
}

#[tokio::test]
async fn a_revoked_key_stops_us() {
    let sshd = Sshd::start("");
    let public = std::fs::read_to_string(sshd.path("host.pub")).unwrap();
    sshd.append("known_hosts", &format!("@revoked * {public}"));
    let error = connect(sshd.options()).await.unwrap_err();
    assert!(matches!(error, Error::HostKeyRevoked { .. }), "{error}");
}

#[tokio::test]
async fn names_hashed_by_openssh_are_found() {
    let sshd = Sshd::start("");
    run("ssh-keygen", &["-q", "-H", "-f", &sshd.text("known_hosts")]);
    let text = std::fs::read_to_string(sshd.path("known_hosts")).unwrap();
    assert!(text.starts_with("|1|"), "{text}");
    connect(sshd.options()).await.unwrap();
}

#[tokio::test]
async fn the_kind_of_key_that_is_known_is_the_one_that_is_asked_for() {
    let sshd = Sshd::prepare();
    for kind in ["rsa", "ecdsa"] {
        sshd.keygen(&format!("host-{kind}"), &["-t", kind, "-N", ""]);
    }
    let keys = ["rsa", "ecdsa"].map(|kind| format!("HostKey {}\n", sshd.text(&format!("host-{kind}"))));
    sshd.configure(&keys.concat());
    let sshd = sshd.running();
    for kind in ["rsa", "ecdsa"] {
        std::fs::write(sshd.path("known_hosts"), "").unwrap();
        sshd.know(&format!("host-{kind}"));
        connect(sshd.options()).await.unwrap();
    }
}

#[tokio::test]
async fn a_host_certificate_of_a_known_authority_is_enough() {
    let sshd = Sshd::prepare();
    sshd.keygen("ca", &["-t", "ed25519", "-N", ""]);
    let sign = |name: &str| {
        let host = sshd.text("host.pub");
        run(
            "ssh-keygen",
            &["-q", "-s", &sshd.text("ca"), "-h", "-I", "test", "-n", name, &host],
        );
    };
    sign("127.0.0.1");
    sshd.configure(&format!("HostCertificate {}", sshd.text("host-cert.pub")));
    let authority = std::fs::read_to_string(sshd.path("ca.pub")).unwrap();
    std::fs::write(sshd.path("known_hosts"), format!("@cert-authority * {authority}")).unwrap();
    let mut sshd = sshd.running();
    connect(sshd.options()).await.unwrap();
    sshd.kill();
    run(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            &sshd.text("ca"),
            "-h",
            "-I",
            "test",
            "-n",
            "elsewhere",
            &sshd.text("host.pub"),
        ],
    );
    sshd.up();
    let error = connect(sshd.options()).await.unwrap_err();
    assert!(
        matches!(error, Error::HostCertificate { .. }) && error.is_permanent(),
        "{error}"
    );
}

#[tokio::test]
async fn an_alias_for_the_host_key_is_looked_up_in_place_of_the_address() {
    let sshd = Sshd::start("");
    let public = std::fs::read_to_string(sshd.path("host.pub")).unwrap();
    std::fs::write(sshd.path("known_hosts"), format!("cluster {public}")).unwrap();
    let lines = format!(" IdentityFile {}\n HostKeyAlias cluster", sshd.text("key"));
    connect(sshd.configured(&lines)).await.unwrap();
    let error = connect(sshd.configured(&format!(" IdentityFile {}", sshd.text("key"))))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error}");
}
