//! What pods use.

use towline_core::usage::{Usage, usages};

use crate::call::{SHORT, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// What these pods use, as their supervisors wrote it last, and how full the file system is that they lie on. A pod that
    /// is not in the answer has no figures. Without pods nothing is asked.
    ///
    /// # Errors
    /// See [`Error`]; nothing is known then.
    pub async fn usage(&self, uids: &[String]) -> Result<Usage, Error> {
        let mut found = Usage::default();
        for uids in chunks(uids) {
            let command = self.command("pod/usage").args([self.root(), self.agent()]).args(uids);
            let more = self.call("read what pods use", Way::Run, command.timeout(SHORT), usages);
            let more = more.await?;
            found.pods.extend(more.pods);
            found.storage = more.storage.or(found.storage);
        }
        Ok(found)
    }
}
