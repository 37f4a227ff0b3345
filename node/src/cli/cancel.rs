//! `towline cancel`.

use anyhow::bail;
use clap::Args;
use towline_cluster::CancelMode;

use super::connection::Connection;
use super::pods;

/// End pods: those that wait leave the queue, those that run are told to end within their grace
#[derive(Debug, Args)]
pub struct Cancel {
    /// The pods, by UID, the beginning of a UID, or name
    #[arg(value_name = "POD", required = true)]
    pods: Vec<String>,
    /// Seconds that the containers have to end by themselves [default: what the pod says]
    #[arg(long, value_name = "SECONDS")]
    grace: Option<u64>,
    /// End them now, without asking the containers
    #[arg(long, conflicts_with = "grace")]
    force: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Cancel {
    pub async fn run(self) -> anyhow::Result<u8> {
        let cluster = self.connection.connect(None).await?;
        let (all, _) = pods::list(&cluster).await?;
        let mut told = Vec::new();
        for pod in pods::find(&all, &self.pods)? {
            if pod.ended {
                eprintln!("{} ({}) is over already", pod.name, pod.uid);
            } else {
                told.push((pod.uid.clone(), self.grace));
            }
        }
        let mode = if self.force { CancelMode::Hard } else { CancelMode::Soft };
        let mut failed = Vec::new();
        for (uid, error) in cluster.cancel(mode, &told).await? {
            match error {
                None => eprintln!("{uid}: told to end"),
                Some(error) => failed.push(format!("{uid}: {error}")),
            }
        }
        cluster.remote().close().await;
        if !failed.is_empty() {
            bail!("failed to cancel {}", failed.join("; "));
        }
        Ok(0)
    }
}
