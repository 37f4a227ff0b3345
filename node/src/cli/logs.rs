//! `towline logs`.

use anyhow::{Context, bail};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use towline_cluster::{Cluster, LogRange, LogStart};
use towline_kubelet_api::Stamps;
use towline_ssh::ExitStatus;

use super::connection::Connection;
use super::output;
use super::pods::{self, Listed};

/// Print a container's log
#[derive(Debug, Args)]
pub struct Logs {
    /// The pod, by UID, the beginning of a UID, or name
    pod: String,
    /// The container; needed if the pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Go on until the container has ended
    #[arg(short, long)]
    follow: bool,
    /// Of the run before the newest one
    #[arg(short, long)]
    previous: bool,
    /// Only the last so many lines
    #[arg(long, value_name = "LINES")]
    tail: Option<u64>,
    /// Say of each line when it was written, to the second
    #[arg(long, conflicts_with = "tail")]
    timestamps: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Logs {
    pub async fn run(self) -> anyhow::Result<u8> {
        let cluster = self.connection.connect(None).await?;
        let (all, _) = pods::list(&cluster).await?;
        let pod = pods::one(&all, &self.pod)?;
        let container = pods::container_of(pod, self.container.as_deref())?;
        let range = LogRange {
            run: if self.previous { -2 } else { -1 },
            start: self.tail.map_or(LogStart::Offset(0), LogStart::LastLines),
            length: None,
            follow: self.follow,
        };
        let written = if self.timestamps {
            stamped(&cluster, pod, &container, range).await
        } else {
            copy(&cluster, pod, &container, range, None).await
        };
        cluster.remote().close().await;
        written.map(|()| 0)
    }
}

/// What a log's reader said at its end.
fn ended(status: &ExitStatus, stderr: &[u8], pod: &Listed, container: &str) -> anyhow::Result<()> {
    match status {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(66) => bail!(
            "container {container} of pod {} has no such log: it may not have started yet",
            pod.name
        ),
        status => bail!(
            "failed to read the log of container {container} of pod {}: it ended with {status}: {}",
            pod.name,
            String::from_utf8_lossy(stderr).trim()
        ),
    }
}

/// Writes a part of a log to standard output, with times if `stamps` has them.
async fn copy(
    cluster: &Cluster,
    pod: &Listed,
    container: &str,
    range: LogRange,
    mut stamps: Option<Stamps>,
) -> anyhow::Result<()> {
    let mut process = cluster.log(&pod.uid, container, range).await?;
    let mut stderr = Vec::new();
    let out = async {
        let mut stdout = tokio::io::stdout();
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = process.stdout.read(&mut buffer).await?;
            match &mut stamps {
                _ if count == 0 => return stdout.flush().await,
                Some(stamps) => stdout.write_all(&stamps.weave(&buffer[..count], output::now())).await?,
                None => stdout.write_all(&buffer[..count]).await?,
            }
            // Whoever follows wants to see it now.
            stdout.flush().await?;
        }
    };
    let (out, _) = tokio::join!(out, process.stderr.read_to_end(&mut stderr));
    out?;
    ended(&process.wait().await?, &stderr, pod, container)
}

/// The log with the time of each line, from the index beside it.
async fn stamped(cluster: &Cluster, pod: &Listed, container: &str, range: LogRange) -> anyhow::Result<()> {
    let index = match cluster.log_index(&pod.uid, container, range.run).await {
        Err(error) if error.exit_code() == Some(66) => return ended(&ExitStatus::Code(66), &[], pod, container),
        index => index?,
    };
    // The same run, even if the next one begins meanwhile.
    let run = i64::try_from(index.run).context("the log has an impossible number")?;
    copy(
        cluster,
        pod,
        container,
        LogRange { run, ..range },
        Some(Stamps::new(index, 0)),
    )
    .await
}
