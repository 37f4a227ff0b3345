//! SPDY inside of a WebSocket: the messages' bytes, one behind the other, are a SPDY connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use futures::{Sink as _, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Messages, Sink, split};
use crate::streaming::pipe::PIECE;
use crate::streaming::upgrade::Io;

/// Both halves of what is inside.
pub async fn tunnel(io: Io) -> (TunnelWriter, TunnelReader) {
    let (sink, messages) = split(io).await;
    let reader = TunnelReader {
        messages,
        rest: Bytes::new(),
    };
    (TunnelWriter(sink), reader)
}

/// What a client sends.
pub struct TunnelReader {
    messages: Messages,
    rest: Bytes,
}

/// What is sent to it.
pub struct TunnelWriter(Sink);

impl AsyncRead for TunnelReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.rest = bytes,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                None | Some(Ok(Message::Close(_))) => return Poll::Ready(Ok(())),
                Some(Ok(_)) => return Poll::Ready(Err(io::Error::other("a message that is not binary"))),
                Some(Err(error)) => return Poll::Ready(Err(to_io(error))),
            }
        }
        let piece = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest[..piece]);
        self.rest.advance(piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TunnelWriter {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.0).poll_ready(context)).map_err(to_io)?;
        let piece = bytes.len().min(2 * PIECE);
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..piece]));
        Pin::new(&mut self.0).start_send(message).map_err(to_io)?;
        Poll::Ready(Ok(piece))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context).map_err(to_io)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context).map_err(to_io)
    }
}

fn to_io(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}
