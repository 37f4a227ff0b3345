//! WebSocket as Kubernetes uses it: messages that begin with the number of a channel.

mod channels;
mod tunnel;

pub use channels::{Channels, read, write};
pub use tunnel::tunnel;

use futures::StreamExt;
use futures::stream::{SplitSink, SplitStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Fault;
use super::upgrade::Io;

/// Bytes of a message from a client at most: it is taken whole.
const MESSAGE: usize = 8 << 20;
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// What a client sends.
pub type Messages<S = Io> = SplitStream<WebSocketStream<S>>;
/// What is sent to it.
pub type Sink<S = Io> = SplitSink<WebSocketStream<S>, Message>;

/// Both halves of a connection that has been taken over.
pub async fn split<S: AsyncRead + AsyncWrite + Unpin>(io: S) -> (Sink<S>, Messages<S>) {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE));
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config))
        .await
        .split()
}

/// Whether it is the client's fault that reading failed; else it has just gone.
fn fault(error: &Error) -> Option<Fault> {
    match error {
        Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_) => Some(Fault::new(format!("a bad frame: {error}"))),
        _ => None,
    }
}
