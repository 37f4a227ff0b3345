//! Ports over WebSocket: one connection to each port that the request names, two channels each.

use futures::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Request;
use super::forward::forward;
use crate::streaming::connection::{Activity, run};
use crate::streaming::pipe::{Budget, Out, incoming, outgoing};
use crate::streaming::spdy::GOING_WELL;
use crate::streaming::upgrade::Io;
use crate::streaming::websocket::{Channels, read, split, write};

/// Serves a client.
pub async fn serve(request: Request, version: &str, io: Io, cancel: CancellationToken) {
    let activity = Activity::new();
    let (sink, messages) = split(io).await;
    let (sender, out) = outgoing();
    let budget = Budget::new();
    let mut arrivals = Vec::new();
    let mut connections = Vec::new();
    for (number, port) in (0..).zip(request.ports.iter().copied()) {
        let (arrival, inlet) = incoming(&budget);
        arrivals.extend([Some(arrival), None]);
        let (data, error) = (sender.outlet(2 * number), sender.outlet(2 * number + 1));
        let request = &request;
        connections.push(async move {
            // Each channel begins with the port that it is for.
            let label = port.to_le_bytes().to_vec();
            let _ = data.data(label.clone()).await;
            let _ = error.data(label).await;
            if let Err(words) = forward(request, port, inlet, &data).await {
                let _ = error.data(words.into_bytes()).await;
            }
        });
    }
    let work = async {
        cancel.run_until_cancelled(join_all(connections)).await;
        let _ = sender.send(Out::Last(0, GOING_WELL)).await;
    };
    let base64 = version.contains("base64");
    let channels = Channels {
        arrivals,
        base64,
        closing: false,
    };
    let reading = read(messages, channels, sender.clone(), activity.clone());
    let writing = write(sink, out, base64, activity.clone());
    run(reading, writing, work, &sender, &activity, &cancel).await;
}
