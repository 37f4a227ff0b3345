//! `towline attach`.

use clap::Args;
use towline_kubelet_api::{Sessions, Streams};

use super::connection::Connection;
use super::session::{Reached, carry, terminal};

/// See what a container writes from now on, and write to its standard input
///
/// It ends with the container; leaving earlier (Ctrl-C) does not end the container.
#[derive(Debug, Args)]
// Here, -t is what it is with kubectl.
#[command(mut_arg("to", |target| target.short(None::<char>)))]
pub struct Attach {
    /// The pod, by UID, the beginning of a UID, or name
    pod: String,
    /// The container; needed if the pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Pass standard input on to the container, which has to have one (stdin: true)
    #[arg(short = 'i', long)]
    stdin: bool,
    /// Standard input is a terminal, and so is the container's (tty: true)
    #[arg(short = 't', long)]
    tty: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Attach {
    pub async fn run(self) -> anyhow::Result<u8> {
        let tty = terminal(self.stdin, self.tty);
        let reached = Reached::find(&self.connection, &self.pod).await?;
        let place = reached.container(self.container.as_deref())?;
        let streams = Streams {
            stdin: self.stdin,
            stdout: true,
            stderr: !tty,
            tty,
        };
        let ended = match reached.sessions.attach(&place, streams).await {
            Ok(session) => {
                if tty {
                    eprintln!("If you don't see a command prompt, try pressing enter.");
                }
                carry(session, tty).await
            }
            Err(error) => Err(error.into()),
        };
        reached.cluster.remote().close().await;
        ended
    }
}
