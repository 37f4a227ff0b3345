//! Figures that a test puts there.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;
use towline_core::usage::{PodUsage, Storage};
use towline_kubelet_api::{Meters, NodeUsage};

/// What is read of the meters: nothing, until a test says something.
#[derive(Default)]
pub struct Read {
    pub pods: Mutex<BTreeMap<String, (PodUsage, u64)>>,
    /// The cluster does not answer.
    pub silent: Mutex<bool>,
}

#[async_trait]
impl Meters for Read {
    async fn usage(&self) -> Result<NodeUsage, String> {
        if *self.silent.lock().unwrap() {
            return Err("the cluster does not answer".to_owned());
        }
        Ok(NodeUsage {
            since: Timestamp::UNIX_EPOCH,
            pods: self.pods.lock().unwrap().clone(),
            storage: Some(Storage {
                capacity: 1000,
                available: 400,
                inodes: Some((50, 20)),
                images: 90,
            }),
            cpu_ns: 60_000_000_000,
        })
    }

    fn own(&self) -> String {
        "# EOF\n".to_owned()
    }
}
