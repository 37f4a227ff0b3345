//! What is new.

use towline_core::answer::{Look, look};

use crate::call::{SHORT, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// The new reports. `done`: the names that an earlier look returned and that have been taken in, which are forgotten
    /// now; naming them again after an error does no harm.
    ///
    /// # Errors
    /// See [`Error`]; nothing is known then that was not known before.
    pub async fn look(&self, done: &[String]) -> Result<Look, Error> {
        let mut found = Look::default();
        for names in chunks(done) {
            let command = self.command("pod/look").args([self.root(), self.agent()]).args(names);
            // Every piece but the last returns what the next ones forget: only the last answer counts.
            found = self
                .call("look for news", Way::Shell, command.timeout(SHORT), look)
                .await?;
        }
        Ok(found)
    }
}
