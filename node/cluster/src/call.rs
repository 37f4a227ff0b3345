//! One script called: its status checked, its answer read whole or not at all.

use std::time::Duration;

use towline_core::protocol::BadAnswer;
use towline_ssh::{Command, ExitStatus, Output};

use crate::cluster::Cluster;
use crate::error::Error;

/// How a call travels.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    /// In the one shell, at the smallest cost: short calls only.
    Shell,
    /// Beside others.
    Run,
}

/// How long a short call may take.
pub(crate) const SHORT: Duration = Duration::from_secs(60);
/// How long a call may take that asks the batch system once.
pub(crate) const LONG: Duration = Duration::from_secs(180);

impl Cluster {
    /// A script as a command; a shell reads it, so that its mode and the mount options of its file system do not matter.
    pub(crate) fn command(&self, script: &str) -> Command {
        Command::new("/bin/sh").arg(format!("{}/{script}", self.scripts()))
    }

    /// Calls a script and reads its answer.
    pub(crate) async fn call<T>(
        &self,
        what: &'static str,
        way: Way,
        command: Command,
        read: impl FnOnce(&str) -> Result<T, BadAnswer>,
    ) -> Result<T, Error> {
        let mut output = self.send(way, command.clone()).await?;
        // The shell has not found the script, so nothing has been done: doing it again is safe.
        if matches!(output.status, ExitStatus::Code(2 | 126 | 127)) && self.restore().await? {
            output = self.send(way, command).await?;
        }
        answer(what, &self.remote().name(), &output, read)
    }

    async fn send(&self, way: Way, command: Command) -> Result<Output, Error> {
        Ok(match way {
            Way::Shell => self.remote().shell(command).await?,
            Way::Run => self.remote().run(command).await?,
        })
    }
}

/// Reads a finished script's answer.
pub(crate) fn answer<T>(
    what: &'static str,
    host: &str,
    output: &Output,
    read: impl FnOnce(&str) -> Result<T, BadAnswer>,
) -> Result<T, Error> {
    let stderr = words_of(&output.stderr);
    if !output.status.success() {
        return Err(Error::Script {
            what,
            host: host.to_owned(),
            status: output.status.clone(),
            stderr,
        });
    }
    // What is not UTF-8 (a site's words in another encoding) must not make the rest unreadable.
    read(&String::from_utf8_lossy(&output.stdout)).map_err(|source| Error::Answer {
        what,
        host: host.to_owned(),
        source,
        stderr,
    })
}

/// The end of what a script said on standard error: that is where the reason stands, behind a site's banners.
pub(crate) fn words_of(stderr: &[u8]) -> String {
    const KEPT: usize = 2000;
    let text = String::from_utf8_lossy(stderr);
    let text = text.trim();
    let from = text.char_indices().rev().nth(KEPT - 1).map_or(0, |(at, _)| at);
    match &text[from..] {
        "" => "it said nothing".to_owned(),
        kept => kept.to_owned(),
    }
}
