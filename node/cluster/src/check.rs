//! What a pod would find on a compute node.

use std::time::Duration;

use towline_core::answer::{Facts, facts};

use crate::call::Way;
use crate::cluster::Cluster;
use crate::error::Error;

/// How long to wait for the check job: it waits in the queue like any other.
const TIMEOUT: Duration = Duration::from_secs(15 * 60);

impl Cluster {
    /// Looks at a compute node from inside, by a job of one minute. `request`: what to ask the batch system for, the keys
    /// of a pod's `request`. `registries`: hosts to try to reach from there.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Script`] with code 70 if the job did not run.
    pub async fn check(&self, request: &[(String, String)], registries: &[String]) -> Result<Facts, Error> {
        let asked = request.iter().map(|(key, value)| format!("{key}={value}"));
        let registries = registries.iter().map(|host| format!("registry={host}"));
        let command = self.command(&format!("batch/{}/check", self.batch())).arg(self.root());
        let command = command.args(asked.chain(registries)).timeout(TIMEOUT);
        self.call("look at a compute node", Way::Run, command, facts).await
    }
}
