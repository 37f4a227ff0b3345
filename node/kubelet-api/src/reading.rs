//! A remote process's output as a stream that tells a whole log from one that was cut.

use bytes::BytesMut;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::task::AbortOnDropHandle;
use towline_cluster::Error;
use towline_ssh::Process;

use crate::LogStream;

/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// How much of its complaints is kept, in bytes.
const COMPLAINTS: usize = 4 << 10;

/// What a process writes; it is an error at the end if it did not end well. `host` is for messages.
pub fn stream(mut process: Process, host: String) -> LogStream {
    let empty: towline_ssh::remote::Reader = Box::pin(tokio::io::empty());
    let stderr = std::mem::replace(&mut process.stderr, empty);
    let complaints = AbortOnDropHandle::new(tokio::spawn(head(stderr)));
    let state = Some((process, complaints, host));
    futures::stream::unfold(state, |state| async move {
        let (mut process, complaints, host) = state?;
        let mut chunk = BytesMut::with_capacity(CHUNK);
        let read = process.stdout.read_buf(&mut chunk).await;
        if matches!(read, Ok(1..)) {
            return Some((Ok(chunk.freeze()), Some((process, complaints, host))));
        }
        let status = match process.wait().await {
            Ok(status) if status.success() && read.is_ok() => return None,
            Ok(status) => status,
            Err(error) => return Some((Err(error.into()), None)),
        };
        let error = Error::Script {
            what: "read a log",
            host,
            status,
            stderr: complaints.await.unwrap_or_default(),
        };
        Some((Err(error), None))
    })
    .boxed()
}

/// The beginning of what is written; all of it is read, so that the writer never waits.
async fn head(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = from.read(&mut chunk).await {
        let room = COMPLAINTS - kept.len();
        kept.extend_from_slice(&chunk[..read.min(room)]);
    }
    String::from_utf8_lossy(&kept).trim().to_owned()
}
