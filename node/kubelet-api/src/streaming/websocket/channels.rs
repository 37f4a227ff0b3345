//! Channels: the first byte of a message says which. In the variants with base64 it is a digit, and the rest is encoded.

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};
use futures::{SinkExt, Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Sink, fault};
use crate::streaming::pipe::{Arrival, Out, PIECE, Sender};
use crate::streaming::spdy::{GOING_WELL, PROTOCOL_ERROR};
use crate::streaming::{Activity, Fault};

/// The channel that says that another one ends.
const CLOSE: u8 = 255;

/// How channels are to be read.
pub struct Channels {
    /// Where what arrives on each goes; `None`: it is not wanted.
    pub arrivals: Vec<Option<Arrival>>,
    /// As text.
    pub base64: bool,
    /// A channel can be closed by itself.
    pub closing: bool,
}

impl Channels {
    async fn take(&mut self, mut message: Bytes) -> Result<(), Fault> {
        if message.is_empty() {
            return Ok(());
        }
        let channel = message.get_u8();
        if self.closing && channel == CLOSE {
            let closed = (message.len() == 1)
                .then(|| self.arrivals.get_mut(usize::from(message[0])))
                .flatten();
            *closed.ok_or_else(|| Fault::new("the end of a channel that there is not"))? = None;
            return Ok(());
        }
        let channel = if self.base64 {
            channel.wrapping_sub(b'0')
        } else {
            channel
        };
        // What arrives on others is ignored, as by the kubelet.
        let Some(Some(arrival)) = self.arrivals.get(usize::from(channel)) else {
            return Ok(());
        };
        if self.base64 {
            let decoded = STANDARD.decode(&message);
            message = decoded
                .map_err(|error| Fault::new(format!("bad base64: {error}")))?
                .into();
        }
        while !message.is_empty() {
            let piece = message.len().min(PIECE);
            arrival.put(message.split_to(piece)).await;
        }
        Ok(())
    }
}

/// Reads until the client leaves.
///
/// # Errors
/// The client sends what cannot be understood. It has been told.
pub async fn read(
    mut messages: impl Stream<Item = Result<Message, Error>> + Unpin,
    mut channels: Channels,
    sender: Sender,
    activity: Activity,
) -> Result<(), Fault> {
    let fault = loop {
        let taken = match messages.next().await {
            None | Some(Ok(Message::Close(_))) => return Ok(()),
            Some(Ok(Message::Binary(bytes))) => channels.take(bytes).await,
            Some(Ok(Message::Text(text))) => channels.take(text.into()).await,
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => match fault(&error) {
                Some(fault) => Err(fault),
                None => return Ok(()),
            },
        };
        match taken {
            Ok(()) => activity.note(),
            Err(fault) => break fault,
        }
    };
    sender.last_words(Out::Last(0, PROTOCOL_ERROR)).await;
    Err(fault)
}

/// Writes until there is nothing more to write. Channels have no ends of their own in this direction.
///
/// # Errors
/// The connection is gone.
pub async fn write(mut sink: Sink, mut out: mpsc::Receiver<Out>, base64: bool, activity: Activity) -> io::Result<()> {
    while let Some(first) = out.recv().await {
        let mut next = Some(first);
        while let Some(out_now) = next {
            let last = matches!(out_now, Out::Last(..));
            if out_now != Out::Ping {
                activity.note();
            }
            if let Some(message) = message(out_now, base64) {
                sink.feed(message).await.map_err(io::Error::other)?;
            }
            if last {
                return sink.flush().await.map_err(io::Error::other);
            }
            next = out.try_recv().ok();
        }
        sink.flush().await.map_err(io::Error::other)?;
    }
    Ok(())
}

fn message(out: Out, base64: bool) -> Option<Message> {
    Some(match out {
        Out::Data(channel, bytes) if base64 => {
            let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
            text.push(char::from(b'0' + channel as u8));
            STANDARD.encode_string(&bytes, &mut text);
            Message::Text(text.into())
        }
        Out::Data(channel, bytes) => {
            let mut message = Vec::with_capacity(1 + bytes.len());
            message.push(channel as u8);
            message.extend_from_slice(&bytes);
            Message::Binary(message.into())
        }
        Out::Ping => Message::Ping(Bytes::new()),
        Out::Last(_, status) => Message::Close(Some(CloseFrame {
            code: match status {
                GOING_WELL => CloseCode::Normal,
                _ => CloseCode::Protocol,
            },
            reason: Default::default(),
        })),
        Out::Fin(_) | Out::Reply(_) | Out::Reset(..) | Out::Pong(_) => return None,
    })
}
