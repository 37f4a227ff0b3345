//! A client over TLS, one connection per request unless a test keeps it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::pki::{Ca, Identity};

/// A client.
pub struct Client {
    address: SocketAddr,
    config: ClientConfig,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub text: String,
    /// It ended as it should.
    pub whole: bool,
}

impl Client {
    pub fn new(address: SocketAddr, servers: &Ca, identity: Option<Identity>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(servers.der()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![identity.certificate];
                builder.with_client_auth_cert(chain, identity.key).unwrap()
            }
        };
        Self { address, config }
    }

    /// What it offers in ALPN.
    pub fn speaking(mut self, protocol: &[u8]) -> Self {
        self.config.alpn_protocols = vec![protocol.to_vec()];
        self
    }

    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        connector
            .connect(ServerName::try_from("127.0.0.1").unwrap(), stream)
            .await
    }

    pub async fn open(&self) -> std::io::Result<SendRequest<Empty<Bytes>>> {
        let (sender, connection) = handshake(TokioIo::new(self.connect().await?)).await.unwrap();
        tokio::spawn(connection);
        Ok(sender)
    }

    pub async fn send(&self, method: Method, path: &str, token: Option<&str>) -> Result<Response<Incoming>, String> {
        let mut sender = self.open().await.map_err(|error| error.to_string())?;
        sender
            .send_request(request(method, path, token))
            .await
            .map_err(|error| error.to_string())
    }

    pub async fn get(&self, path: &str) -> Answer {
        read(self.send(Method::GET, path, None).await.unwrap()).await
    }

    pub async fn get_with(&self, path: &str, token: &str) -> Answer {
        read(self.send(Method::GET, path, Some(token)).await.unwrap()).await
    }
}

pub fn request(method: Method, path: &str, token: Option<&str>) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("Host", "node");
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    request.body(Empty::new()).unwrap()
}

pub async fn read(response: Response<Incoming>) -> Answer {
    let status = response.status();
    let mut body = response.into_body();
    let (mut text, mut whole) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    Answer {
        status,
        text: String::from_utf8(text).unwrap(),
        whole,
    }
}

/// The next piece of a streamed answer.
pub async fn piece(body: &mut Incoming) -> Option<Result<String, hyper::Error>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()))
}
