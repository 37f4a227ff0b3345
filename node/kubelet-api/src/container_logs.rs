//! `GET /containerLogs/NAMESPACE/POD/CONTAINER`.

use bytes::BytesMut;
use futures::TryStreamExt;
use http::StatusCode;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use towline_cluster::{Error, LogIndex, LogRange, LogStart};

use crate::answer::{self, Answer};
use crate::backwards::Backwards;
use crate::body::{Shape, body};
use crate::logs::LogSource;
use crate::query::LogQuery;
use crate::route::Target;
use crate::run::{Run, has_container, run, unavailable};
use crate::stamps::Stamps;
use crate::{Pods, since};

/// How much is read at once in search of a line's beginning, at first and at most, in bytes.
const WINDOW: u64 = 64 << 10;
const LARGEST_WINDOW: u64 = 8 << 20;
/// The script's exit code for a log that is not there.
const NO_SUCH_LOG: u32 = 66;
/// Limits above this are not passed on, so that no shell has to calculate with them.
const LARGEST_LENGTH: u64 = 1 << 40;

/// The log that is asked for, or the kubelet's words why not.
pub async fn answer(
    pods: &dyn Pods,
    logs: &dyn LogSource,
    Target {
        namespace,
        pod: name,
        container,
        ..
    }: Target<'_>,
    query: &str,
) -> Answer {
    let query = match LogQuery::parse(query) {
        Ok(query) => query,
        Err(bad) => {
            let (status, words) = bad.answer();
            return answer::text(status, words);
        }
    };
    let Some(pod) = pods.find(namespace, name) else {
        return answer::text(StatusCode::NOT_FOUND, format!("pod {name:?} does not exist"));
    };
    if !has_container(&pod, container) {
        let words = format!("container {container:?} not found in pod {name:?}");
        return answer::text(StatusCode::NOT_FOUND, words);
    }
    let run = match run(&pod, container, query.previous) {
        Ok(run) => run,
        Err(words) => return answer::text(StatusCode::BAD_REQUEST, words),
    };
    match open(logs, &pod, container, &run, &query).await {
        Ok(answer) => answer,
        Err(error) if error.exit_code() == Some(NO_SUCH_LOG) => {
            answer::text(StatusCode::BAD_REQUEST, unavailable(&run.id))
        }
        // Of the statuses that say whose fault it is, this is one whose words the API server passes on.
        Err(error) => {
            let words = format!("failed to get the log of container {container:?} in pod {name:?}: {error}");
            answer::text(StatusCode::BAD_GATEWAY, words)
        }
    }
}

async fn open(logs: &dyn LogSource, pod: &Pod, container: &str, run: &Run, query: &LogQuery) -> Result<Answer, Error> {
    let log = Log {
        logs,
        uid: pod.metadata.uid.as_deref().unwrap_or_default(),
        container,
        run: run.number,
    };
    let index = logs.index(log.uid, container, run.number).await?;
    let start = log.start(&index, query).await?;
    let stamps = match start {
        LogStart::Offset(offset) if query.timestamps => Some(Stamps::new(index, offset)),
        _ => None,
    };
    let length = match start {
        LogStart::Offset(_) => query.limit_bytes.filter(|limit| *limit < LARGEST_LENGTH),
        LogStart::LastLines(_) => None,
    };
    let stream = log.open(start, length, query.follow).await?;
    let shape = Shape {
        stamps,
        limit: query.limit_bytes,
    };
    Ok(answer::stream(body(stream, shape)))
}

/// The log of one run of a container.
struct Log<'a> {
    logs: &'a dyn LogSource,
    uid: &'a str,
    container: &'a str,
    run: i64,
}

impl Log<'_> {
    /// Where to begin: with the last lines, but not before the moment from which on it is wanted, and always with a whole line.
    /// With times it has to be known at which byte that is, and for what is followed together with others.
    async fn start(&self, index: &LogIndex, query: &LogQuery) -> Result<LogStart, Error> {
        let from = match query.since {
            Some(since) => {
                let offset = since::offset(&index.rows, since.moment(Timestamp::now())).min(index.size);
                self.find(Backwards::unfinished_line(), 0, offset).await?
            }
            None => 0,
        };
        Ok(match query.tail_lines {
            // No line is shorter than a byte.
            Some(0) => LogStart::Offset(index.size),
            Some(lines) if lines < index.size => {
                if from == 0 && !query.timestamps && !query.follow {
                    LogStart::LastLines(lines)
                } else {
                    LogStart::Offset(self.find(Backwards::last_lines(lines), from, index.size).await?)
                }
            }
            _ => LogStart::Offset(from),
        })
    }

    /// The place that a search from `end` backwards finds, or `least` if it does not come so far.
    async fn find(&self, mut search: Backwards, least: u64, mut end: u64) -> Result<u64, Error> {
        let mut window = WINDOW;
        while end > least {
            let start = end.saturating_sub(window).max(least);
            if let Some(found) = search.feed(start, &self.part(start, end).await?) {
                return Ok(found);
            }
            end = start;
            window = (window * 8).min(LARGEST_WINDOW);
        }
        Ok(least)
    }

    async fn part(&self, start: u64, end: u64) -> Result<BytesMut, Error> {
        let stream = self.open(LogStart::Offset(start), Some(end - start), false).await?;
        let collect = |mut all: BytesMut, piece: bytes::Bytes| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        };
        let part = stream.try_fold(BytesMut::new(), collect).await?;
        if part.len() as u64 != end - start {
            return Err(Error::Invalid(format!(
                "the log is shorter than it was: bytes {start} to {end} were asked for and {} came",
                part.len()
            )));
        }
        Ok(part)
    }

    async fn open(&self, start: LogStart, length: Option<u64>, follow: bool) -> Result<crate::LogStream, Error> {
        let range = LogRange {
            run: self.run,
            start,
            length,
            follow,
        };
        self.logs.open(self.uid, self.container, range).await
    }
}
