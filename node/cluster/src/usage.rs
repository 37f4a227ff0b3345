//! What pods use.

use std::collections::BTreeMap;

use towline_core::usage::{PodUsage, usages};

use crate::call::{SHORT, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// What these pods use, as their supervisors wrote it last. A pod that is not in the answer has no figures.
    ///
    /// # Errors
    /// See [`Error`]; nothing is known then.
    pub async fn usage(&self, uids: &[String]) -> Result<BTreeMap<String, PodUsage>, Error> {
        let mut found = BTreeMap::new();
        if uids.is_empty() {
            return Ok(found);
        }
        for uids in chunks(uids) {
            let command = self.command("pod/usage").args([self.root(), self.agent()]).args(uids);
            found.extend(
                self.call("read what pods use", Way::Run, command.timeout(SHORT), usages)
                    .await?,
            );
        }
        Ok(found)
    }
}
