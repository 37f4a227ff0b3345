//! What nobody needs any more.

use std::time::Duration;

use towline_core::protocol::rows;

use crate::call::{LONG, Way};
use crate::cluster::Cluster;
use crate::error::Error;

/// Something that lies on the cluster and belongs to no pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// `upload` or `scripts`.
    pub kind: String,
    /// Where it lies.
    pub path: String,
    /// What became of it.
    pub fate: Fate,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is gone (or would be, in a dry run).
    Removed,
    /// It stays, and why.
    Kept(String),
    /// It could not be removed.
    Failed,
}

impl Cluster {
    /// Removes interrupted uploads, and other versions of the scripts with which nobody has connected for `age` while no
    /// pod of any agent is under way. `dry`: only says what it would remove.
    ///
    /// # Errors
    /// See [`Error`]; doing it again is always safe.
    pub async fn sweep(&self, age: Duration, dry: bool) -> Result<Vec<Left>, Error> {
        let hash = self.scripts().rsplit('/').next().unwrap_or_default();
        let command = self.command("pod/sweep").args([self.root(), hash]);
        let command = command.args([age.as_secs().to_string(), u8::from(dry).to_string()]);
        let read = |text: &str| {
            let mut found = Vec::new();
            for row in rows(text)? {
                let fate = match row.kind() {
                    "removed" => Fate::Removed,
                    "kept" => Fate::Kept(row.rest(3)),
                    "failed" => Fate::Failed,
                    _ => continue,
                };
                found.push(Left {
                    kind: row.field(1)?.to_owned(),
                    path: row.field(2)?.to_owned(),
                    fate,
                });
            }
            Ok(found)
        };
        self.call("sweep", Way::Run, command.timeout(LONG), read).await
    }
}
