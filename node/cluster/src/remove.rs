//! Pods' directories deleted.

use towline_core::protocol::rows;

use crate::call::{LONG, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// Deletes the directories and reports of pods whose jobs are over.
    ///
    /// # Errors
    /// See [`Error`]; doing it again is always safe.
    pub async fn remove(&self, uids: &[String]) -> Result<(), Error> {
        if uids.is_empty() {
            return Ok(());
        }
        for uids in chunks(uids) {
            let command = self.command("pod/remove").args([self.root(), self.agent()]).args(uids);
            self.call("remove pods", Way::Run, command.timeout(LONG), |text| {
                rows(text).map(drop)
            })
            .await?;
        }
        Ok(())
    }
}
