//! A client that speaks WebSocket.

use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::client::Client;

/// A connection, and the subprotocol that was agreed on.
pub struct WebSocket {
    pub stream: WebSocketStream<TlsStream<TcpStream>>,
    pub protocol: Option<String>,
}

impl WebSocket {
    /// Offers these subprotocols; else the status of the refusal.
    pub async fn connect(client: &Client, path: &str, protocols: &str) -> Result<Self, u16> {
        let uri: Uri = format!("ws://node{path}").parse().unwrap();
        let mut request = uri.into_client_request().unwrap();
        if !protocols.is_empty() {
            let headers = request.headers_mut();
            headers.insert("Sec-WebSocket-Protocol", protocols.parse().unwrap());
        }
        match client_async(request, client.connect().await.unwrap()).await {
            Ok((stream, answer)) => {
                let protocol = answer.headers().get("sec-websocket-protocol");
                let protocol = protocol.map(|protocol| protocol.to_str().unwrap().to_owned());
                Ok(Self { stream, protocol })
            }
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    pub async fn send(&mut self, channel: u8, bytes: &[u8]) {
        let message = [&[channel][..], bytes].concat();
        self.stream.send(Message::Binary(message.into())).await.unwrap();
    }

    /// The next message, or the end of the connection.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            match self.stream.next().await?.ok()? {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return Some(message),
            }
        }
    }

    /// All channels' texts until the server closes, and the status with which it does.
    pub async fn rest(&mut self) -> (std::collections::BTreeMap<u8, String>, Option<u16>) {
        let mut texts = std::collections::BTreeMap::<u8, Vec<u8>>::new();
        let status = loop {
            match self.message().await {
                Some(Message::Binary(bytes)) => texts.entry(bytes[0]).or_default().extend_from_slice(&bytes[1..]),
                Some(Message::Close(Some(close))) => break Some(close.code.into()),
                None => break None,
                Some(other) => panic!("{other:?}"),
            }
        };
        let texts = texts
            .into_iter()
            .map(|(channel, text)| (channel, String::from_utf8(text).unwrap()));
        (texts.collect(), status)
    }
}
