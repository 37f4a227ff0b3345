//! The agents of the account.

use towline_core::protocol::rows;

use crate::call::{SHORT, Way};
use crate::cluster::Cluster;
use crate::error::Error;

/// An agent that has a directory on the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Its name.
    pub name: String,
    /// Whom it belongs to.
    pub owner: Option<String>,
}

impl Cluster {
    /// All agents below the same directory, this one included.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn agents(&self) -> Result<Vec<Agent>, Error> {
        let command = self.command("pod/agents").arg(self.root()).timeout(SHORT);
        let read = |text: &str| {
            let all = rows(text)?;
            all.iter()
                .filter(|row| row.kind() == "agent")
                .map(|row| {
                    Ok(Agent {
                        name: row.field(1)?.to_owned(),
                        owner: row.optional(2)?.map(|_| row.rest(2)),
                    })
                })
                .collect()
        };
        self.call("list the agents", Way::Shell, command, read).await
    }
}
