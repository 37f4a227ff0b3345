//! A process of the far side and its client: streams between them, and what the client is told at the end.

mod process;
mod resize;
mod spdy;
mod status;
mod websocket;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use towline_cluster::Error;

pub use process::run_to_end;

use super::backend::{Place, Session, Sessions, Streams};
use super::upgrade::{Io, Offer, Protocol};

/// What can be spoken. Source: the kubelet's `SupportedStreamingProtocols` and what its WebSocket side knows.
pub const OFFER: Offer = Offer {
    spdy: &[
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v3.channel.k8s.io",
        "v2.channel.k8s.io",
        "channel.k8s.io",
    ],
    websocket: &[
        "v5.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "channel.k8s.io",
        "base64.channel.k8s.io",
    ],
};

/// What is done in a container.
#[derive(Debug)]
pub enum What {
    /// A command is run.
    Exec(Vec<String>),
    /// Its own process is attached to.
    Attach,
}

/// What a client asks for.
pub struct Request {
    /// Where containers run.
    pub sessions: Arc<dyn Sessions>,
    /// In which.
    pub place: Place,
    /// What.
    pub what: What,
    /// With which streams.
    pub streams: Streams,
}

impl Request {
    async fn start(&self) -> Result<Session, Error> {
        match &self.what {
            What::Exec(command) => self.sessions.exec(&self.place, command, self.streams).await,
            What::Attach => self.sessions.attach(&self.place, self.streams).await,
        }
    }

    /// The kubelet's words for what failed.
    fn failure(&self, why: &str) -> String {
        match self.what {
            What::Exec(_) => format!("error executing command in container: {why}"),
            What::Attach => format!("error attaching to container: {why}"),
        }
    }
}

/// Serves a client over the connection that has been taken over.
pub async fn serve(request: Request, protocol: Protocol, io: Io, cancel: CancellationToken) {
    match protocol {
        Protocol::Spdy(version) => spdy::serve(request, version, io, cancel).await,
        Protocol::WebSocket(version) => websocket::serve(request, version, io, cancel).await,
    }
}
