//! The seam to where logs lie.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use towline_cluster::{Cluster, Error, LogIndex, LogRange};

/// Bytes of a log as they come. It ends after all of them; an error is a log that was cut. Dropping it ends the reading
/// on the far side too.
pub type LogStream = BoxStream<'static, Result<Bytes, Error>>;

/// Where containers' logs are read. Runs are counted from 0; -1 is the newest, -2 the one before.
#[async_trait]
pub trait LogSource: Send + Sync {
    /// How long a log is and when it had which length.
    ///
    /// # Errors
    /// [`Error::exit_code`] is 66 if there is no such log.
    async fn index(&self, uid: &str, container: &str, run: i64) -> Result<LogIndex, Error>;

    /// Opens a part of a log.
    ///
    /// # Errors
    /// The far side could not be asked.
    async fn open(&self, uid: &str, container: &str, range: LogRange) -> Result<LogStream, Error>;
}

#[async_trait]
impl LogSource for Cluster {
    async fn index(&self, uid: &str, container: &str, run: i64) -> Result<LogIndex, Error> {
        self.log_index(uid, container, run).await
    }

    async fn open(&self, uid: &str, container: &str, range: LogRange) -> Result<LogStream, Error> {
        let process = self.log(uid, container, range).await?;
        Ok(crate::reading::stream(process, self.remote().name()))
    }
}
