//! Containers' logs.

use towline_core::protocol::rows;
use towline_ssh::Process;

use crate::call::{SHORT, Way};
use crate::cluster::Cluster;
use crate::error::Error;

/// Where a part of a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStart {
    /// At this byte.
    Offset(u64),
    /// With the last so many lines.
    LastLines(u64),
}

/// A part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// Which run of the container, counted from 0; -1 the newest, -2 the one before.
    pub run: i64,
    /// Where it begins.
    pub start: LogStart,
    /// How many bytes at most; only with [`LogStart::Offset`].
    pub length: Option<u64>,
    /// Go on until the run has ended.
    pub follow: bool,
}

/// A log's size, and when it had which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogIndex {
    /// The run, counted from 0.
    pub run: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The run has ended: nothing is added any more.
    pub ended: bool,
    /// At this time (seconds since 1970) the log was so many bytes long. In ascending order.
    pub rows: Vec<(i64, u64)>,
}

impl Cluster {
    /// Opens a part of a log as a stream of bytes. It ends with its standard input. Exit code 66: no such log.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn log(&self, uid: &str, container: &str, range: LogRange) -> Result<Process, Error> {
        let (offset, length) = match (range.start, range.length) {
            (LogStart::Offset(offset), None) => (offset.to_string(), "-".to_owned()),
            (LogStart::Offset(offset), Some(length)) => (offset.to_string(), length.to_string()),
            (LogStart::LastLines(lines), None) => ("-".to_owned(), lines.to_string()),
            (LogStart::LastLines(_), Some(_)) => {
                return Err(Error::Invalid(
                    "a log's last lines cannot be limited in bytes as well: read them and stop".to_owned(),
                ));
            }
        };
        let command = self
            .command("pod/log")
            .args([self.root(), self.agent(), uid, container])
            .args([range.run.to_string(), offset, length])
            .arg(if range.follow { "1" } else { "0" });
        Ok(self.remote().open(command.timeout(SHORT)).await?)
    }

    /// The size of a log and its index of times. `run`: as in [`LogRange`].
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Script`] with code 66 if there is no such log.
    pub async fn log_index(&self, uid: &str, container: &str, run: i64) -> Result<LogIndex, Error> {
        let command = self
            .command("pod/index")
            .args([self.root(), self.agent(), uid, container])
            .arg(run.to_string());
        let read = |text: &str| {
            let mut index = LogIndex::default();
            for row in rows(text)? {
                match row.kind() {
                    "log" => {
                        index.run = row.number(1)?;
                        index.size = row.number(2)?;
                        index.ended = row.optional(3)?.is_some();
                    }
                    "at" => index.rows.push((row.number(1)?, row.number(2)?)),
                    _ => {}
                }
            }
            Ok(index)
        };
        self.call("read the index of a log", Way::Run, command.timeout(SHORT), read)
            .await
    }
}
