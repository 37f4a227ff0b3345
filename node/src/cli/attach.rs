//! `towline attach`.

use clap::Args;
use towline_kubelet_api::Sessions;

use super::connection::Connection;
use super::session::serve;

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
        let (place, streams) = ((self.pod.as_str(), self.container.as_deref()), (self.stdin, self.tty));
        serve(&self.connection, place, streams, async |sessions, place, streams| {
            let session = sessions.attach(place, streams).await?;
            if streams.tty {
                eprintln!("If you don't see a command prompt, try pressing enter.");
            }
            Ok(session)
        })
        .await
    }
}
