//! Pods told to end.

use std::collections::BTreeMap;

use towline_core::answer::cancellations;

use crate::call::{LONG, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

/// How a pod is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelMode {
    /// Taken out of the queue, or told to end its containers within their grace.
    Soft,
    /// Ended by force.
    Hard,
}

impl Cluster {
    /// Tells pods to end, each with its own grace in seconds if one is given. Can be repeated; only a shorter grace
    /// counts then. By UID: the error of each pod for which it failed.
    ///
    /// # Errors
    /// See [`Error`]; doing it again is always safe.
    pub async fn cancel(
        &self,
        mode: CancelMode,
        pods: &[(String, Option<u64>)],
    ) -> Result<BTreeMap<String, Option<String>>, Error> {
        let mut found = BTreeMap::new();
        if pods.is_empty() {
            return Ok(found);
        }
        let words: Vec<String> = pods
            .iter()
            .map(|(uid, grace)| grace.map_or_else(|| uid.clone(), |grace| format!("{uid}:{grace}")))
            .collect();
        let mode = match mode {
            CancelMode::Soft => "soft",
            CancelMode::Hard => "hard",
        };
        for words in chunks(&words) {
            let command = self.command(&format!("batch/{}/cancel", self.batch()));
            let command = command
                .args([self.root(), self.agent(), mode])
                .args(words)
                .timeout(LONG);
            found.extend(self.call("cancel", Way::Run, command, cancellations).await?);
        }
        Ok(found)
    }
}
