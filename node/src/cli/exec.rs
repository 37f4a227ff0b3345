//! `towline exec`.

use clap::Args;
use towline_kubelet_api::Sessions;

use super::connection::Connection;
use super::session::serve;

/// Run a command in a container that runs
///
/// Exit code: the command's; 1 if it could not be run, 130 after Ctrl-C (without -t).
#[derive(Debug, Args)]
// Here, -t is what it is with kubectl.
#[command(mut_arg("to", |target| target.short(None::<char>)))]
pub struct Exec {
    /// The pod, by UID, the beginning of a UID, or name
    pod: String,
    /// The container; needed if the pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Pass standard input on to the command
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Give the command a terminal; with -i, where standard input is one
    #[arg(short = 't', long)]
    tty: bool,
    /// The command and its arguments; no shell reads them
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    connection: Connection,
}

impl Exec {
    pub async fn run(self) -> anyhow::Result<u8> {
        let (place, streams) = ((self.pod.as_str(), self.container.as_deref()), (self.stdin, self.tty));
        serve(&self.connection, place, streams, async |sessions, place, streams| {
            sessions.exec(place, &self.command, streams).await
        })
        .await
    }
}
