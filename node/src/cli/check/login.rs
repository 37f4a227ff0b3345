//! The login node: the way there, the account, its directory, its tools.

use std::sync::Arc;

use towline_cluster::{Cluster, Error, Options};
use towline_ssh::{Command, Remote, Ssh};

use super::Report;
use super::finding::{Finding, State};

/// A question that any account answers: its login shell, and the address it was reached at.
const ASK: &str = "printf 'shell=%s\\nssh=%s\\nmotd=%s\\n' \"${SHELL-}\" \"${SSH_CONNECTION-}\" end";

/// Whether anything can be asked at all.
pub async fn connection(remote: &dyn Remote, ssh: Option<&Ssh>, report: &mut Report) -> bool {
    let answer = remote.shell(Command::new("/bin/sh").args(["-c", ASK])).await;
    for key in ssh.iter().flat_map(|ssh| ssh.accepted_host_keys()) {
        report.add(Finding::lacking(
            State::Limited,
            "host key",
            format!("{} {} {}", key.host, key.kind, key.fingerprint),
            "it was not known before and has been accepted now",
            format!("compare it with what the site says; it is written in {}", key.file),
        ));
    }
    let output = match answer {
        Ok(output) => output,
        Err(error) => {
            let advice = match &error {
                towline_ssh::Error::Authentication { .. } => {
                    "load the key into an agent (ssh-add), name it with --identity, or put it into the SSH configuration"
                }
                towline_ssh::Error::HostKeyUnknown { .. } => {
                    "compare the fingerprint with what the site publishes, then say --accept-new-host-key once"
                }
                towline_ssh::Error::Connect { .. } => "check name, port and network: does `ssh TARGET` work from here?",
                _ => "does `ssh TARGET` work from here?",
            };
            report.add(
                Finding::lacking(
                    State::Missing,
                    "connection",
                    error.to_string(),
                    "nothing works without it",
                    advice,
                )
                .needed(),
            );
            return false;
        }
    };
    report.add(Finding::found("connection", remote.name()).needed());
    for note in ssh.iter().flat_map(|ssh| ssh.notes()) {
        report.add(Finding::lacking(
            State::Limited,
            "SSH configuration",
            note.clone(),
            "this line is not followed",
            "",
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default()
            .to_owned()
    };
    let shell = value("shell=");
    report.add(
        Finding::found("login shell", if shell.is_empty() { "it does not say" } else { &shell })
            .meaning("any shell will do"),
    );
    if ssh.is_some() {
        banner(remote, report).await;
        forwarding(remote, &value("ssh="), report).await;
    }
    true
}

/// What the account's start files print when nobody wants to hear it.
async fn banner(remote: &dyn Remote, report: &mut Report) {
    match remote.run(Command::new("/bin/true")).await {
        Ok(output) if output.stderr.is_empty() && output.stdout.is_empty() => {
            report.add(Finding::found(
                "quiet start",
                "commands answer with nothing but their own output",
            ));
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(if output.stdout.is_empty() {
                &output.stderr
            } else {
                &output.stdout
            })
            .into_owned();
            report.add(Finding::lacking(
                State::Limited,
                "quiet start",
                format!(
                    "the account's start files print {:?}",
                    said.chars().take(80).collect::<String>()
                ),
                "it is passed over here, but other programs (scp, rsync) trip over it",
                "print only in interactive shells: begin the lines in .bashrc with `[ -t 1 ] &&`",
            ));
        }
        Err(error) => report.add(Finding::lacking(
            State::Unknown,
            "quiet start",
            error.to_string(),
            "",
            "",
        )),
    }
}

/// Whether the far side makes TCP connections for us: to its own SSH server, which is surely there.
async fn forwarding(remote: &dyn Remote, connection: &str, report: &mut Report) {
    let mut parts = connection.split_whitespace().skip(2);
    let (Some(host), Some(port)) = (parts.next(), parts.next().and_then(|port| port.parse().ok())) else {
        let means = "the login node does not say at which address it was reached";
        report.add(Finding::lacking(State::Unknown, "TCP forwarding", "", means, ""));
        return;
    };
    match remote.connect(host, port).await {
        Ok(_) => report.add(
            Finding::found("TCP forwarding", "allowed").meaning("ports of pods can be reached through the login node"),
        ),
        Err(error) => report.add(Finding::lacking(
            State::Limited,
            "TCP forwarding",
            error.to_string(),
            "ports of pods cannot be reached through the login node",
            "ask the site for AllowTcpForwarding, or do without port-forward",
        )),
    }
}

/// The directory that holds everything, and the scripts in it.
pub async fn account(remote: Arc<dyn Remote>, options: Options, report: &mut Report) -> Option<Cluster> {
    let asked = options.root.clone().unwrap_or_else(|| "~/.towline".to_owned());
    match Cluster::connect(remote, options).await {
        Ok(cluster) => {
            report.add(Finding::found("directory", format!("{} can be written", cluster.root())).needed());
            Some(cluster)
        }
        Err(Error::Owned { owner, agent, .. }) => {
            let found = format!("agent {agent} belongs to {owner:?}");
            report.add(
                Finding::lacking(
                    State::Missing,
                    "directory",
                    found,
                    "two must not look after the same pods",
                    "choose another name with --agent",
                )
                .needed(),
            );
            None
        }
        Err(error) => {
            let advice = "choose a directory that can be written with --root; what is said above says more";
            report.add(
                Finding::lacking(
                    State::Missing,
                    "directory",
                    format!("{asked}: {error}"),
                    "scripts and pods have no place",
                    advice,
                )
                .needed(),
            );
            None
        }
    }
}
