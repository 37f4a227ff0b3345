//! Everything about pods that lies on the cluster.

use std::collections::BTreeMap;

use towline_core::answer::{ScannedPod, scan};

use crate::call::{LONG, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

/// So many pods are scanned about as fast as a look is had.
const FEW: usize = 100;

impl Cluster {
    /// What the cluster's files say about these pods, or about all pods of the agent if none are named. A pod that is
    /// not in the answer has no directory.
    ///
    /// # Errors
    /// See [`Error`]; nothing is known then.
    pub async fn scan(&self, uids: &[String]) -> Result<BTreeMap<String, ScannedPod>, Error> {
        // A few are looked at again and again, by those who wait for them.
        let way = if (1..=FEW).contains(&uids.len()) {
            Way::Shell
        } else {
            Way::Run
        };
        let mut found = BTreeMap::new();
        for uids in chunks(uids) {
            let command = self.command("pod/scan").args([self.root(), self.agent()]).args(uids);
            found.extend(
                self.call("read the pods' directories", way, command.timeout(LONG), scan)
                    .await?,
            );
        }
        Ok(found)
    }
}
