//! New pods: sent together, taken together, given to the batch system together.

use std::collections::BTreeMap;
use std::time::Duration;

use towline_core::answer::{Submission, submissions};
use towline_core::bundle::Bundle;

use crate::archive::archive;
use crate::call::Way;
use crate::cluster::Cluster;
use crate::error::Error;

/// A batch system that does not answer is waited for on the cluster, longer than it ever takes by itself: giving up
/// sooner would make an unknown outcome of what is only slow.
const BASE: Duration = Duration::from_secs(150);
const PER_POD: Duration = Duration::from_secs(5);

impl Cluster {
    /// Sends pods in one upload and asks the batch system for a job for each. A pod that is there already is not
    /// submitted again. What became of each, by UID.
    ///
    /// # Errors
    /// See [`Error`]. Unless [`Error::outcome_unknown`] says otherwise, nothing was submitted.
    pub async fn submit(&self, bundles: &[Bundle]) -> Result<BTreeMap<String, Submission>, Error> {
        if bundles.is_empty() {
            return Ok(BTreeMap::new());
        }
        let count = u32::try_from(bundles.len()).unwrap_or(u32::MAX);
        let command = self
            .command("pod/submit")
            .args([self.scripts(), self.root(), self.agent(), self.batch()])
            .stdin(archive(bundles)?)
            .timeout(BASE + PER_POD.saturating_mul(count));
        self.call("submit", Way::Run, command, submissions).await
    }
}
