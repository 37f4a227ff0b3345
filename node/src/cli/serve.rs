//! `towline node`.

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::prompt;
use crate::config::{self, Flags};
use crate::node::{self, Settings};

/// Offer the cluster as a virtual Kubernetes node and run the pods that come to it
#[derive(Debug, Args)]
pub struct Node {
    #[command(flatten)]
    flags: Flags,
}

impl Node {
    pub async fn run(self) -> anyhow::Result<u8> {
        let effective = config::load(&self.flags)?;
        let settings = Settings::new(&effective.config, prompt::terminal())?;
        let cancel = CancellationToken::new();
        let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let stop = cancel.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            tracing::info!("ending; pods go on, and are found again at the next start");
            stop.cancel();
        });
        node::run(settings, cancel).await?;
        Ok(0)
    }
}
