//! Ports of a pod and its clients.

mod forward;
mod pairs;
mod spdy;
mod websocket;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::backend::{Place, Sessions};
use super::upgrade::{Io, Offer, Protocol};
use super::websocket::tunnel;

/// SPDY inside of a WebSocket.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

/// What can be spoken.
pub const OFFER: Offer = Offer {
    spdy: &["portforward.k8s.io"],
    websocket: &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"],
};

/// What a client asks for.
#[derive(Clone)]
pub struct Request {
    /// Where containers run.
    pub sessions: Arc<dyn Sessions>,
    /// Of which pod.
    pub place: Place,
    /// Which ports, if they have to be named before.
    pub ports: Vec<u16>,
}

/// Whether these subprotocols of a WebSocket need no ports to be named in the request.
pub fn opens_ports_later(subprotocols: &[String]) -> bool {
    subprotocols.iter().any(|name| name == TUNNEL)
}

/// Serves a client over the connection that has been taken over.
pub async fn serve(request: Request, protocol: Protocol, io: Io, cancel: CancellationToken) {
    match protocol {
        Protocol::Spdy(_) => {
            let (reading, writing) = tokio::io::split(io);
            spdy::serve(request, reading, writing, cancel).await;
        }
        Protocol::WebSocket(TUNNEL) => {
            let (writing, reading) = tunnel(io).await;
            spdy::serve(request, reading, writing, cancel).await;
        }
        Protocol::WebSocket(version) => websocket::serve(request, version, io, cancel).await,
    }
}
