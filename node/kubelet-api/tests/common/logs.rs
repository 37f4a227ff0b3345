//! Logs in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};
use towline_cluster::{Error, LogIndex, LogRange, LogStart};
use towline_kubelet_api::{LogSource, LogStream};
use towline_ssh::ExitStatus;

use super::Counted;

/// The log of every container.
#[derive(Default)]
pub struct Memory {
    pub text: Vec<u8>,
    pub rows: Vec<(i64, u64)>,
    pub ended: bool,
    /// What is asked for fails like this: 66 is no such log, 0 a cluster out of reach.
    pub fails: Option<u32>,
    /// What follows behind the text.
    pub follows: Mutex<Option<mpsc::Receiver<Result<Bytes, Error>>>>,
    /// What was opened.
    pub opened: Mutex<Vec<LogRange>>,
    /// How many streams are open.
    pub open: watch::Sender<usize>,
}

impl Memory {
    pub fn new(text: impl Into<Vec<u8>>, rows: &[(i64, u64)]) -> Self {
        Self {
            text: text.into(),
            rows: rows.to_vec(),
            ended: true,
            ..Self::default()
        }
    }

    fn failure(&self) -> Result<(), Error> {
        match self.fails {
            None => Ok(()),
            Some(0) => Err(towline_ssh::Error::Connect {
                host: "login".to_owned(),
                why: "no route to host".to_owned(),
            }
            .into()),
            Some(code) => Err(Error::Script {
                what: "read a log",
                host: "login".to_owned(),
                status: ExitStatus::Code(code),
                stderr: "no such log".to_owned(),
            }),
        }
    }
}

#[async_trait]
impl LogSource for Memory {
    async fn index(&self, _uid: &str, _container: &str, run: i64) -> Result<LogIndex, Error> {
        self.failure()?;
        Ok(LogIndex {
            run: u64::try_from(run).unwrap(),
            size: self.text.len() as u64,
            ended: self.ended,
            rows: self.rows.clone(),
        })
    }

    async fn open(&self, _uid: &str, _container: &str, range: LogRange) -> Result<LogStream, Error> {
        self.failure()?;
        self.opened.lock().unwrap().push(range);
        let start = match range.start {
            LogStart::Offset(offset) => usize::try_from(offset).unwrap().min(self.text.len()),
            LogStart::LastLines(lines) => {
                assert_eq!(range.length, None);
                let all: Vec<&[u8]> = self.text.split_inclusive(|byte| *byte == b'\n').collect();
                let before = all.len().saturating_sub(usize::try_from(lines).unwrap());
                all[..before].iter().map(|line| line.len()).sum()
            }
        };
        let text = &self.text[start..];
        let length = range
            .length
            .map_or(text.len(), |length| text.len().min(length as usize));
        // In small pieces, as they may come.
        let pieces: Vec<_> = text[..length]
            .chunks(7)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let pieces = futures::stream::iter(pieces);
        let follows = self.follows.lock().unwrap().take().filter(|_| range.follow);
        let Some(mut follows) = follows else {
            return Ok(pieces.boxed());
        };
        let open = Counted::new(self.open.clone());
        let rest = futures::stream::poll_fn(move |context| {
            let _ = &open;
            follows.poll_recv(context)
        });
        Ok(pieces.chain(rest).boxed())
    }
}

/// No logs at all.
pub fn none() -> Arc<dyn LogSource> {
    Arc::new(Memory::default())
}
