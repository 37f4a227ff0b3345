//! Containers for pods that wait or run already.

use std::collections::BTreeMap;

use towline_core::answer::additions;
use towline_core::bundle::Entry;

use crate::archive::of_pods;
use crate::call::{LONG, Way};
use crate::cluster::Cluster;
use crate::error::Error;

impl Cluster {
    /// Brings containers, by UID and path in the pod's directory, in one upload. Those that are there already stay as they
    /// are. By UID, nothing if a pod's containers are there now, or why they are not.
    ///
    /// # Errors
    /// See [`Error`]. If the outcome is unknown, sending them again is safe.
    pub async fn add(
        &self,
        pods: &BTreeMap<String, BTreeMap<String, Entry>>,
    ) -> Result<BTreeMap<String, Option<String>>, Error> {
        if pods.is_empty() {
            return Ok(BTreeMap::new());
        }
        let upload = of_pods(pods.iter().map(|(uid, entries)| (uid.as_str(), entries)))?;
        let command = self
            .command("pod/add")
            .args([self.root(), self.agent()])
            .stdin(upload)
            .timeout(LONG);
        self.call("add containers to pods", Way::Run, command, additions).await
    }
}
