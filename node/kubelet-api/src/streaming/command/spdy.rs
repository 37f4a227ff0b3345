//! Commands over SPDY: each stream is one of the client's opening, told apart by a header.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Request;
use super::process::{self, Client};
use super::status::Ending;
use crate::streaming::connection::{Activity, run};
use crate::streaming::pipe::{Out, outgoing};
use crate::streaming::spdy::{GOING_WELL, Reader, Stream, write};
use crate::streaming::upgrade::Io;

/// How long a client has to open its streams: the kubelet's `DefaultStreamCreationTimeout`.
const CREATION: Duration = Duration::from_secs(30);

/// Serves a client.
pub async fn serve(request: Request, version: &str, io: Io, cancel: CancellationToken) {
    let activity = Activity::new();
    let (reading, writing) = tokio::io::split(io);
    let (sender, out) = outgoing();
    let (reader, opened) = Reader::new(reading, sender.clone(), activity.clone());
    let work = async {
        let last = talk(&request, version, opened, &cancel).await;
        let _ = sender.send(Out::Last(last, GOING_WELL)).await;
    };
    let writing = write(writing, out, activity.clone());
    run(reader.run(), writing, work, &sender, &activity, &cancel).await;
}

/// Waits for the streams and uses them; the last one's number.
async fn talk(request: &Request, version: &str, mut opened: mpsc::Receiver<Stream>, cancel: &CancellationToken) -> u32 {
    let objects = matches!(version, "v4.channel.k8s.io" | "v5.channel.k8s.io");
    let resizes = objects || version == "v3.channel.k8s.io";
    let wanted = wanted(request, resizes);
    let mut streams = BTreeMap::new();
    let all = timeout(CREATION, gather(&wanted, &mut streams, &mut opened));
    let all = matches!(cancel.run_until_cancelled(all).await, Some(Ok(())));
    // Whatever is opened from now on is refused.
    drop(opened);
    let ends: Vec<_> = streams.values().map(|stream| stream.outlet.clone()).collect();
    let last = streams.values().map(|stream| stream.id).max().unwrap_or_default();
    if let Some(error) = streams.remove("error") {
        if all {
            let client = Client {
                stdin: streams.remove("stdin").map(|stream| stream.inlet),
                stdout: streams.remove("stdout").map(|stream| stream.outlet),
                stderr: streams.remove("stderr").map(|stream| stream.outlet),
                resize: streams.remove("resize").map(|stream| stream.inlet),
                error: error.outlet,
                objects,
            };
            process::serve(request, client, cancel).await;
        } else {
            let late = Ending::Failure(request.failure("the client has not opened its streams in time"));
            let _ = error.outlet.data(late.bytes(objects)).await;
        }
    }
    if !all {
        debug!(
            pod = request.place.pod,
            "a client of the kubelet API has not opened its streams in time"
        );
    }
    for end in ends {
        let _ = end.fin().await;
    }
    last
}

fn wanted(request: &Request, resizes: bool) -> Vec<&'static str> {
    let streams = request.streams;
    let all = [
        ("error", true),
        ("stdin", streams.stdin),
        ("stdout", streams.stdout),
        ("stderr", streams.stderr),
        ("resize", streams.tty && resizes),
    ];
    all.into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(name, _)| name)
        .collect()
}

/// Accepts the streams that are wanted, until there are all.
async fn gather(
    wanted: &[&'static str],
    streams: &mut BTreeMap<&'static str, Stream>,
    opened: &mut mpsc::Receiver<Stream>,
) {
    while streams.len() < wanted.len() {
        // The connection's end is noticed by who reads it.
        let Some(stream) = opened.recv().await else {
            return std::future::pending().await;
        };
        let kind = stream.headers.get("streamtype");
        match wanted.iter().find(|wanted| **wanted == kind) {
            Some(kind) if !streams.contains_key(kind) => {
                stream.accept().await;
                streams.insert(kind, stream);
            }
            _ => stream.refuse().await,
        }
    }
}
