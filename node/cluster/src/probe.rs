//! What the cluster offers.

use towline_core::answer::{Facts, Partition, probe};

use crate::call::{LONG, Way};
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// Asks the batch system what it offers: facts about the login node, and its partitions.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn probe(&self) -> Result<(Facts, Vec<Partition>), Error> {
        let command = self.command(&format!("batch/{}/probe", self.batch()));
        let command = command.args([self.scripts(), self.root()]).timeout(LONG);
        self.call("ask what the batch system offers", Way::Run, command, probe)
            .await
    }
}
