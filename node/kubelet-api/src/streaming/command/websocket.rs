//! Commands over WebSocket: channels 0 to 4 are standard input, output, error, the ending, and sizes.

use tokio_util::sync::CancellationToken;

use super::Request;
use super::process::{self, Client};
use crate::streaming::connection::{Activity, run};
use crate::streaming::pipe::{Budget, Out, incoming, outgoing};
use crate::streaming::spdy::GOING_WELL;
use crate::streaming::upgrade::Io;
use crate::streaming::websocket::{Channels, read, split, write};

const STDOUT: u32 = 1;
const STDERR: u32 = 2;
const ERROR: u32 = 3;

/// Serves a client.
pub async fn serve(request: Request, version: &str, io: Io, cancel: CancellationToken) {
    let activity = Activity::new();
    let (sink, messages) = split(io).await;
    let (sender, out) = outgoing();
    let budget = Budget::new();
    let (stdin, from_stdin) = incoming(&budget);
    let (resize, from_resize) = incoming(&budget);
    let streams = request.streams;
    let base64 = version.contains("base64");
    let channels = Channels {
        arrivals: vec![
            streams.stdin.then_some(stdin),
            None,
            None,
            None,
            streams.tty.then_some(resize),
        ],
        base64,
        closing: version == "v5.channel.k8s.io",
    };
    let client = Client {
        stdin: streams.stdin.then_some(from_stdin),
        stdout: streams.stdout.then(|| sender.outlet(STDOUT)),
        stderr: streams.stderr.then(|| sender.outlet(STDERR)),
        resize: streams.tty.then_some(from_resize),
        error: sender.outlet(ERROR),
        objects: version.starts_with("v4.") || version.starts_with("v5."),
    };
    let work = async {
        // The client learns that the connection stands.
        let first = client
            .stdout
            .as_ref()
            .or(client.stderr.as_ref())
            .unwrap_or(&client.error);
        let _ = first.data(bytes::Bytes::new()).await;
        process::serve(&request, client, &cancel).await;
        let _ = sender.send(Out::Last(0, GOING_WELL)).await;
    };
    let reading = read(messages, channels, sender.clone(), activity.clone());
    let writing = write(sink, out, base64, activity.clone());
    run(reading, writing, work, &sender, &activity, &cancel).await;
}
