//! Accounts whose login shell is csh or fish, and startup files that talk.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::AsyncReadExt;
use towline_ssh::{Command, Error, ExitStatus, Options, Remote, Ssh};

use crate::sshd::{Sshd, is_root, run, runs};

/// A temporary account.
struct Account {
    name: String,
    home: tempfile::TempDir,
}

impl Account {
    fn new(shell: &str, startup: &[(&str, &str)]) -> Self {
        let name = format!("tls{:x}", rand::random::<u32>());
        let home = tempfile::tempdir().unwrap();
        let path = home.path().display().to_string();
        for (file, text) in startup {
            let file: PathBuf = home.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        // A password that nobody has, rather than a locked account, which sshd refuses.
        run("useradd", &["-M", "-d", &path, "-s", shell, "-p", "*", &name]);
        run("chown", &["-R", &name, &path]);
        Self { name, home }
    }

    fn ssh(&self, sshd: &Sshd) -> Arc<Ssh> {
        let options = Options {
            target: format!("{}@127.0.0.1:{}", self.name, sshd.port),
            ..sshd.options()
        };
        Arc::new(Ssh::new(options).unwrap())
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        run("userdel", &["-f", &self.name]);
        let _ = self.home.path();
    }
}

async fn works(ssh: &Ssh) {
    let odd = "it's\n$(x) !! \\ \"";
    let script = r#"printf '%s' "$1"; cat; echo problem >&2; exit 5"#;
    let command = Command::new("sh").args(["-c", script, "x", odd]);
    let output = ssh.run(command.clone().stdin("input\n")).await.unwrap();
    assert_eq!(output.status, ExitStatus::Code(5));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{odd}input\n"));
    assert_eq!(output.stderr, b"problem\n");
    for _ in 0..3 {
        let output = ssh.shell(command.clone()).await.unwrap();
        assert_eq!(output.status, ExitStatus::Code(5));
        assert_eq!(
            (output.stdout.as_slice(), output.stderr.as_slice()),
            (odd.as_bytes(), &b"problem\n"[..])
        );
    }
    let mut process = ssh.open(command).await.unwrap();
    drop(process.stdin.take());
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout.read_to_string(&mut out).await.unwrap();
    process.stderr.read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), (odd, "problem\n"));
}

async fn ends_what_it_started(ssh: &Ssh) {
    let marker = format!("shell-{:x}", rand::random::<u64>());
    let script = format!("sh -c 'sleep 600; :' {marker}; :");
    let mut process = ssh.open(Command::new("sh").args(["-c", &script])).await.unwrap();
    crate::sshd::eventually("it did not start", || runs(&marker)).await;
    process.kill().await;
    crate::sshd::eventually("a process is left", || !runs(&marker)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_login_shell_will_do_and_what_it_says_is_noise() {
    if !is_root() {
        eprintln!("accounts with other login shells can be made by root only");
        return;
    }
    let sshd = Sshd::start("");
    let noise = "echo Welcome to the cluster; echo maintenance on monday >&2";
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("/bin/sh", &[]),
        ("/bin/bash", &[(".bashrc", &format!("{noise}\nset -v\n"))]),
        ("/bin/csh", &[(".cshrc", "echo Welcome to the cluster\n")]),
        ("/usr/bin/fish", &[(".config/fish/config.fish", noise)]),
    ];
    for (shell, startup) in cases {
        let account = Account::new(shell, startup);
        let ssh = account.ssh(&sshd);
        works(&ssh).await;
        ends_what_it_started(&ssh).await;
    }
}

#[tokio::test]
async fn an_account_that_may_not_log_in_is_a_command_that_did_not_start() {
    if !is_root() {
        eprintln!("accounts with other login shells can be made by root only");
        return;
    }
    let sshd = Sshd::start("");
    let account = Account::new("/usr/sbin/nologin", &[]);
    let ssh = account.ssh(&sshd);
    let errors = [
        ssh.run(Command::new("true")).await.unwrap_err(),
        ssh.shell(Command::new("true")).await.unwrap_err(),
        ssh.open(Command::new("true")).await.err().unwrap(),
    ];
    for error in errors {
        assert!(
            matches!(error, Error::NotStarted { .. }) && error.to_string().contains("not available"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_forced_command_that_is_no_shell_did_not_start_ours() {
    let sshd = Sshd::start("ForceCommand echo only this");
    let error = sshd.ssh().run(Command::new("true")).await.unwrap_err();
    assert!(
        matches!(error, Error::NotStarted { .. }) && error.to_string().contains("only this"),
        "{error}"
    );
}
