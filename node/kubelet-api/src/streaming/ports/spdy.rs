//! Ports over SPDY: any number of connections, two streams each.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Request;
use super::forward::forward;
use super::pairs::{Halves, Joined, Label, Pair};
use crate::streaming::connection::{Activity, run};
use crate::streaming::pipe::{Out, outgoing};
use crate::streaming::spdy::{CANCEL, GOING_WELL, Reader, Stream, write};

/// How long a stream waits for the one that belongs to it: the kubelet's `DefaultStreamCreationTimeout`.
const CREATION: Duration = Duration::from_secs(30);

/// Serves a client.
pub async fn serve(
    request: Request,
    reading: impl AsyncRead + Unpin,
    writing: impl AsyncWrite + Unpin,
    cancel: CancellationToken,
) {
    let activity = Activity::new();
    let (sender, out) = outgoing();
    let (reader, opened) = Reader::new(reading, sender.clone(), activity.clone());
    let work = async {
        cancel.run_until_cancelled(connections(request, opened)).await;
        let _ = sender.send(Out::Last(0, GOING_WELL)).await;
    };
    let writing = write(writing, out, activity.clone());
    run(reader.run(), writing, work, &sender, &activity, &cancel).await;
}

/// Carries connections as they are opened. It ends by being dropped, and all of them with it.
async fn connections(request: Request, mut opened: mpsc::Receiver<Stream>) {
    let mut halves = Halves::default();
    let mut connections = JoinSet::new();
    loop {
        let until = halves.until();
        tokio::select! {
            stream = opened.recv() => match stream {
                Some(stream) => {
                    if let Some(pair) = take(&mut halves, stream).await {
                        connections.spawn(carry(request.clone(), pair));
                    }
                }
                // The connection's end is noticed by who reads it.
                None => std::future::pending().await,
            },
            () = async { sleep_until(until.unwrap_or_else(Instant::now)).await }, if until.is_some() => {
                for (id, error, stream) in halves.late(Instant::now()) {
                    if error {
                        let words = format!("request {id}: timed out waiting for streams");
                        let _ = stream.outlet.data(words.into_bytes()).await;
                        let _ = stream.outlet.fin().await;
                    } else {
                        let _ = stream.outlet.reset(CANCEL).await;
                    }
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn take(halves: &mut Halves, stream: Stream) -> Option<(u16, Pair)> {
    let Some(label) = Label::of(stream.id, &stream.headers) else {
        stream.refuse().await;
        return None;
    };
    let port = label.port;
    stream.accept().await;
    match halves.join(label, stream, Instant::now() + CREATION) {
        Joined::Whole(pair) => Some((port, *pair)),
        Joined::Half => None,
        Joined::Double(stream) => {
            let _ = stream.outlet.reset(CANCEL).await;
            None
        }
    }
}

async fn carry(request: Request, (port, pair): (u16, Pair)) {
    let Pair { data, error } = pair;
    let carried = tokio::select! {
        carried = forward(&request, port, data.inlet, &data.outlet) => carried,
        () = data.open.gone() => Ok(()),
    };
    if let Err(words) = carried {
        let _ = error.outlet.data(words.into_bytes()).await;
        let _ = data.outlet.reset(CANCEL).await;
    }
    let _ = error.outlet.fin().await;
}
