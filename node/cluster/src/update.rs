//! New content for the volumes of pods that wait or run: sent together, each put into place at once.

use std::collections::BTreeMap;

use towline_core::answer::{Updated, updates};
use towline_core::renewal::Update;

use crate::archive::of_pods;
use crate::call::{LONG, Way};
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// Replaces the content of pods' volumes in one upload. What became of each, by UID.
    ///
    /// # Errors
    /// See [`Error`]. If the outcome is unknown, sending newer content is safe.
    pub async fn update(&self, pods: &[Update]) -> Result<BTreeMap<String, Updated>, Error> {
        if pods.is_empty() {
            return Ok(BTreeMap::new());
        }
        let upload = of_pods(pods.iter().map(|pod| (pod.uid.as_str(), &pod.entries)))?;
        let command = self
            .command("pod/update")
            .args([self.root(), self.agent()])
            .stdin(upload)
            .timeout(LONG);
        self.call("update the pods' volumes", Way::Run, command, updates).await
    }
}
