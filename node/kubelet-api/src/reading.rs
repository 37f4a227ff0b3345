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

#[cfg(test)]
mod tests {
    use super::*;
    use towline_ssh::{Command, Local, Remote};

    async fn of(text: &str) -> LogStream {
        let process = Local::default().open(Command::new("sh").args(["-c", text])).await;
        stream(process.unwrap(), "this machine".to_owned())
    }

    async fn read(mut stream: LogStream) -> (Vec<u8>, Option<Error>) {
        let mut all = Vec::new();
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => all.extend_from_slice(&piece),
                Err(error) => return (all, Some(error)),
            }
        }
        (all, None)
    }

    #[tokio::test]
    async fn what_ended_well_is_whole() {
        let (text, error) = read(of("head -c 300000 /dev/zero; echo complaint >&2").await).await;
        assert!(error.is_none());
        assert_eq!(text.len(), 300_000);
    }

    #[tokio::test]
    async fn what_ended_otherwise_is_an_error_with_its_words() {
        let (text, error) = read(of("echo a; head -c 100000 /dev/zero >&2; exit 70").await).await;
        assert_eq!(text, b"a\n");
        assert_eq!(error.unwrap().exit_code(), Some(70));
        let (_, error) = read(of("echo why >&2; kill -9 $$").await).await;
        let error = error.unwrap().to_string();
        assert!(error.contains("KILL") && error.ends_with("why"), "{error}");
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_ends_its_process() {
        let mut stream = of("echo $$; exec sleep 600").await;
        let pid = String::from_utf8(stream.next().await.unwrap().unwrap().to_vec()).unwrap();
        let runs = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
            stat.is_ok_and(|stat| !stat.contains(") Z "))
        };
        assert!(runs());
        drop(stream);
        while runs() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}
