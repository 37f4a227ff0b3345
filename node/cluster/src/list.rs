//! What the batch system says.

use std::collections::BTreeMap;

use towline_core::answer::{Job, JobState, jobs};

use crate::call::{LONG, Way};
use crate::chunks::chunks;
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// All jobs of this agent that the batch system knows, and what is known of the ids named that are gone from its
    /// queue.
    ///
    /// # Errors
    /// See [`Error`]; it was not asked then, which says nothing about any job.
    pub async fn list(&self, ids: &[String]) -> Result<Vec<Job>, Error> {
        let mut found: BTreeMap<String, Job> = BTreeMap::new();
        for ids in chunks(ids) {
            let command = self.command(&format!("batch/{}/list", self.batch()));
            let command = command.args([self.root(), self.agent()]).args(ids).timeout(LONG);
            for job in self.call("ask for the jobs", Way::Run, command, jobs).await? {
                let known = found.get(&job.id);
                // Asked in pieces, a job may end in between.
                if known.is_none_or(|known| !known.state.ended() || known.state == JobState::Gone) {
                    found.insert(job.id.clone(), job);
                }
            }
        }
        Ok(found.into_values().collect())
    }
}
