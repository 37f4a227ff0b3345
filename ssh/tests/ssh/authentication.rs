//! Getting in: every kind of key, who is asked for what, and what happens when the host does not want us.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use towline_ssh::{Command, Error, LinkState, Options, Prompt, Remote, Ssh};

use crate::sshd::{Sshd, is_root, run, user};

/// Gives the same answer to every question, and counts them.
pub struct Answer {
    pub text: &'static str,
    pub asked: AtomicUsize,
}

pub fn answer(text: &'static str) -> Arc<Answer> {
    Arc::new(Answer {
        text,
        asked: AtomicUsize::new(0),
    })
}

#[async_trait]
impl Prompt for Answer {
    async fn secret(&self, _: &str) -> Option<String> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Some(self.text.to_owned())
    }

    async fn visible(&self, what: &str) -> Option<String> {
        self.secret(what).await
    }
}

async fn gets_in(options: Options) {
    let ssh = Ssh::new(options).unwrap();
    let output = ssh.run(Command::new("echo").arg("in")).await.unwrap();
    assert_eq!(output.stdout, b"in\n");
}

async fn refused(options: Options) -> String {
    let error = Ssh::new(options).unwrap().connect_now().await.unwrap_err();
    assert!(matches!(error, Error::Authentication { .. }), "{error}");
    error.to_string()
}

#[tokio::test]
async fn every_kind_of_key_gets_in() {
    let sshd = Sshd::start("");
    let kinds: &[(&str, &[&str])] = &[
        ("ed25519", &["-t", "ed25519"]),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
        ("rsa", &["-t", "rsa", "-b", "2048"]),
        ("pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("pkcs8", &["-t", "ecdsa", "-m", "PKCS8"]),
    ];
    for (name, args) in kinds {
        sshd.keygen(name, &[args, &["-N", ""][..]].concat());
        sshd.authorize(name);
        gets_in(Options {
            identity_files: vec![sshd.path(name)],
            ..sshd.options()
        })
        .await;
    }
}

#[tokio::test]
async fn an_encrypted_key_asks_for_its_passphrase_once() {
    let sshd = Sshd::start("");
    for (name, format) in [("new", "RFC4716"), ("pkcs8", "PKCS8")] {
        sshd.keygen(name, &["-t", "ecdsa", "-N", "open sesame", "-m", format]);
        sshd.authorize(name);
        let prompt = answer("open sesame");
        let ssh = Ssh::new(Options {
            identity_files: vec![sshd.path(name)],
            prompt: Some(prompt.clone()),
            ..sshd.options()
        })
        .unwrap();
        ssh.connect_now().await.unwrap();
        ssh.close().await;
        ssh.connect_now().await.unwrap();
        assert_eq!(prompt.asked.load(Ordering::SeqCst), 1, "{name}");
    }
}

#[tokio::test]
async fn an_encrypted_key_without_anybody_to_ask_is_a_clear_error() {
    let sshd = Sshd::start("");
    sshd.keygen("locked", &["-t", "ed25519", "-N", "open sesame"]);
    sshd.authorize("locked");
    let options = || Options {
        identity_files: vec![sshd.path("locked")],
        ..sshd.options()
    };
    let error = refused(options()).await;
    assert!(error.contains("encrypted") && error.contains("ssh-add"), "{error}");
    let error = refused(Options {
        prompt: Some(answer("wrong")),
        ..options()
    })
    .await;
    assert!(error.contains("passphrase"), "{error}");
}

#[tokio::test]
async fn a_key_that_the_host_does_not_want_asks_for_no_passphrase() {
    let sshd = Sshd::start("");
    sshd.keygen("locked", &["-t", "ed25519", "-N", "open sesame"]);
    let prompt = answer("open sesame");
    gets_in(Options {
        identity_files: vec![sshd.path("locked"), sshd.path("key")],
        prompt: Some(prompt.clone()),
        ..sshd.options()
    })
    .await;
    assert_eq!(prompt.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn certificates_get_in_beside_their_key_and_by_name() {
    let sshd = Sshd::prepare();
    sshd.keygen("ca", &["-t", "ed25519", "-N", ""]);
    sshd.configure(&format!("TrustedUserCAKeys {}", sshd.text("ca.pub")));
    let sshd = sshd.running();
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("signed-{kind}");
        sshd.keygen(&name, &["-t", kind, "-N", ""]);
        run(
            "ssh-keygen",
            &[
                "-q",
                "-s",
                &sshd.text("ca"),
                "-I",
                "test",
                "-n",
                &user(),
                &sshd.text(&format!("{name}.pub")),
            ],
        );
        gets_in(Options {
            identity_files: vec![sshd.path(&name)],
            ..sshd.options()
        })
        .await;
        let (elsewhere, beside) = (
            sshd.path(&format!("elsewhere-{kind}")),
            sshd.path(&format!("{name}-cert.pub")),
        );
        std::fs::rename(&beside, &elsewhere).unwrap();
        let lines = format!(
            " IdentityFile {}\n CertificateFile {}",
            sshd.text(&name),
            elsewhere.display()
        );
        gets_in(sshd.configured(&lines)).await;
        refused(sshd.configured(&format!(" IdentityFile {}", sshd.text(&name)))).await;
    }
}

struct Agent {
    process: std::process::Child,
    socket: String,
}

impl Agent {
    fn start(sshd: &Sshd) -> Self {
        let socket = sshd.text("agent");
        let process = std::process::Command::new("ssh-agent")
            .args(["-D", "-a", &socket])
            .spawn();
        let process = process.unwrap_or_else(|error| panic!("ssh-agent is needed by this test: {error}"));
        for _ in 0..500 {
            if std::path::Path::new(&socket).exists() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { process, socket }
    }

    fn add(&self, file: &str) {
        let output = std::process::Command::new("ssh-add")
            .arg(file)
            .env("SSH_AUTH_SOCK", &self.socket)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn an_agent_signs_with_keys_and_certificates() {
    let sshd = Sshd::prepare();
    sshd.keygen("ca", &["-t", "ed25519", "-N", ""]);
    sshd.configure(&format!("TrustedUserCAKeys {}", sshd.text("ca.pub")));
    let sshd = sshd.running();
    let agent = Agent::start(&sshd);
    for kind in ["ed25519", "ecdsa", "rsa"] {
        sshd.keygen(kind, &["-t", kind, "-N", ""]);
        sshd.authorize(kind);
        agent.add(&sshd.text(kind));
        // The private key is gone: only the agent can sign.
        std::fs::remove_file(sshd.path(kind)).unwrap();
        gets_in(sshd.configured(&format!(" IdentityAgent {}", agent.socket))).await;
    }
    std::fs::write(sshd.path("authorized_keys"), "").unwrap();
    refused(sshd.configured(&format!(" IdentityAgent {}", agent.socket))).await;
    sshd.keygen("signed", &["-t", "ed25519", "-N", ""]);
    run(
        "ssh-keygen",
        &[
            "-q",
            "-s",
            &sshd.text("ca"),
            "-I",
            "test",
            "-n",
            &user(),
            &sshd.text("signed.pub"),
        ],
    );
    agent.add(&sshd.text("signed"));
    std::fs::remove_file(sshd.path("signed")).unwrap();
    gets_in(sshd.configured(&format!(" IdentityAgent {}", agent.socket))).await;
}

#[tokio::test]
async fn a_crowded_agent_does_not_get_us_thrown_out() {
    let sshd = Sshd::start("");
    let agent = Agent::start(&sshd);
    for number in 0..8 {
        let name = format!("other{number}");
        sshd.keygen(&name, &["-t", "ed25519", "-N", ""]);
        agent.add(&sshd.text(&name));
    }
    let lines = format!(" IdentityAgent {}", agent.socket);
    let error = refused(sshd.configured(&lines)).await;
    assert!(error.contains("IdentitiesOnly"), "{error}");
    assert!(
        !sshd.log().contains("Too many authentication failures"),
        "{}",
        sshd.log()
    );
    let lines = format!("{lines}\n IdentitiesOnly yes\n IdentityFile {}", sshd.text("key"));
    gets_in(sshd.configured(&lines)).await;
}

#[tokio::test]
async fn a_refusal_trips_the_breaker_and_says_what_was_offered_and_what_would_be_taken() {
    let sshd = Sshd::start("");
    sshd.keygen("stranger", &["-t", "ed25519", "-N", ""]);
    let options = Options {
        identity_files: vec![sshd.path("stranger")],
        ..sshd.options()
    };
    let ssh = Ssh::new(Options { ..options }).unwrap();
    let error = ssh.run(Command::new("true")).await.unwrap_err();
    assert!(
        matches!(error, Error::Authentication { .. }) && error.is_permanent(),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("SHA256:") && text.contains("would take publickey") && text.contains(&user()),
        "{text}"
    );
    assert!(matches!(&*ssh.link().borrow(), LinkState::Blocked { .. }));
    // Nothing more is tried, by any door, until somebody says so.
    let tries = sshd.log().matches("Connection from").count();
    assert!(ssh.shell(Command::new("true")).await.unwrap_err().is_permanent());
    assert!(ssh.open(Command::new("true")).await.err().unwrap().is_permanent());
    assert_eq!(sshd.log().matches("Connection from").count(), tries);
    sshd.authorize("stranger");
    assert!(ssh.connect_now().await.is_err());
    ssh.retry();
    ssh.connect_now().await.unwrap();
    assert!(matches!(&*ssh.link().borrow(), LinkState::Up { .. }));
}

#[tokio::test]
async fn two_proofs_in_a_row_are_given() {
    let sshd = Sshd::start("AuthenticationMethods publickey,publickey");
    sshd.keygen("second", &["-t", "ecdsa", "-N", ""]);
    sshd.authorize("second");
    gets_in(Options {
        identity_files: vec![sshd.path("key"), sshd.path("second")],
        ..sshd.options()
    })
    .await;
}

#[tokio::test]
async fn a_jump_is_authenticated_and_verified_like_any_host() {
    let sshd = Sshd::start("");
    let jump = Sshd::start("");
    let lines = format!(
        " IdentityFile {key}\n ProxyJump first,second\nHost first second\n HostName 127.0.0.1\n Port {port}\n IdentityFile {other}\n UserKnownHostsFile {known}\n",
        key = sshd.text("key"),
        port = jump.port,
        other = jump.text("key"),
        known = jump.text("known_hosts"),
    );
    gets_in(sshd.configured(&lines)).await;
    std::fs::write(jump.path("known_hosts"), "").unwrap();
    let error = Ssh::new(sshd.configured(&lines))
        .unwrap()
        .connect_now()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::HostKeyUnknown { .. }), "{error}");
}

/// An account with a password, for servers that check it themselves or through PAM.
struct Account(String);

impl Account {
    fn new(password: &str) -> Self {
        let name = format!("tlp{:x}", rand::random::<u32>());
        let hash = run("openssl", &["passwd", "-6", password]);
        run(
            "useradd",
            &["-M", "-d", "/tmp", "-s", "/bin/sh", "-p", hash.trim(), &name],
        );
        Self(name)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        run("userdel", &["-f", &self.0]);
    }
}

#[tokio::test]
async fn a_password_is_asked_for_once() {
    if !is_root() {
        eprintln!("accounts with passwords can be made by root only");
        return;
    }
    let account = Account::new("open sesame");
    let sshd = Sshd::start("PasswordAuthentication yes\nAuthenticationMethods password");
    let prompt = answer("open sesame");
    let options = || Options {
        target: format!("{}@127.0.0.1:{}", account.0, sshd.port),
        ..sshd.options()
    };
    let ssh = Ssh::new(Options {
        prompt: Some(prompt.clone()),
        ..options()
    })
    .unwrap();
    ssh.run(Command::new("true")).await.unwrap();
    let mut process = ssh.open(Command::new("true")).await.unwrap();
    assert!(process.wait().await.unwrap().success());
    assert_eq!(prompt.asked.load(Ordering::SeqCst), 1);
    let error = refused(options()).await;
    assert!(error.contains("nobody to ask"), "{error}");
    refused(Options {
        prompt: Some(answer("wrong")),
        ..options()
    })
    .await;
}

#[tokio::test]
async fn where_a_person_answers_there_is_one_connection_for_everything() {
    if !is_root() {
        eprintln!("accounts with passwords can be made by root only");
        return;
    }
    let account = Account::new("open sesame");
    let sshd = Sshd::start("UsePAM yes\nKbdInteractiveAuthentication yes\nAuthenticationMethods keyboard-interactive");
    let prompt = answer("open sesame");
    let ssh = Ssh::new(Options {
        target: format!("{}@127.0.0.1:{}", account.0, sshd.port),
        prompt: Some(prompt.clone()),
        ..sshd.options()
    })
    .unwrap();
    ssh.run(Command::new("true")).await.unwrap();
    let mut process = ssh.open(Command::new("true")).await.unwrap();
    assert!(process.wait().await.unwrap().success());
    assert_eq!((prompt.asked.load(Ordering::SeqCst), sshd.connections()), (1, 1));
}
