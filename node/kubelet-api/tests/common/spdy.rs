//! A client that speaks SPDY/3.1, as far as a test needs it.

use std::collections::BTreeMap;

use flate2::{Compress, Compression, FlushCompress};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::Client;

/// What a server sends.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame {
    Reply(u32),
    Data { id: u32, last: bool, bytes: Vec<u8> },
    Reset(u32, u32),
    Ping(u32),
    GoAway(u32, u32),
}

/// An answer to an upgrade: the status and the headers in lower case, or the body.
pub struct Upgraded {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub stream: TlsStream<TcpStream>,
}

/// Asks for another protocol.
pub async fn upgrade(client: &Client, method: &str, path: &str, headers: &[(&str, &str)]) -> Upgraded {
    let mut stream = client.connect().await.unwrap();
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: node\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream.write_all((request + "\r\n").as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Upgraded {
        status,
        headers: headers.collect(),
        stream,
    }
}

impl Upgraded {
    /// The words of a refusal.
    pub async fn words(mut self) -> (u16, String) {
        let length = self.headers["content-length"].parse().unwrap();
        let mut words = vec![0; length];
        self.stream.read_exact(&mut words).await.unwrap();
        (self.status, String::from_utf8(words).unwrap())
    }
}

/// A connection.
pub struct Spdy<S = TlsStream<TcpStream>> {
    pub stream: S,
    packing: Compress,
    next: u32,
}

impl Spdy {
    /// With these versions.
    pub async fn connect(client: &Client, path: &str, versions: &str) -> Self {
        let headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            ("X-Stream-Protocol-Version", versions),
        ];
        let upgraded = upgrade(client, "POST", path, &headers).await;
        assert_eq!(upgraded.status, 101, "{:?}", upgraded.headers);
        assert_eq!(upgraded.headers["upgrade"], "SPDY/3.1");
        Self::over(upgraded.stream)
    }
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin> Spdy<S> {
    /// Over a connection that speaks it already.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            packing: Compress::new(Compression::fast(), true),
            next: 1,
        }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    pub async fn control(&mut self, kind: u16, flags: u8, rest: &[u8]) {
        self.send(&control(kind, flags, rest)).await;
    }

    /// A block of headers, packed.
    pub fn pack(&mut self, headers: &[(&str, &str)]) -> Vec<u8> {
        let mut block = (headers.len() as u32).to_be_bytes().to_vec();
        for text in headers.iter().flat_map(|(name, value)| [name, value]) {
            block.extend_from_slice(&(text.len() as u32).to_be_bytes());
            block.extend_from_slice(text.as_bytes());
        }
        let mut packed = Vec::with_capacity(block.len() + 100);
        self.packing
            .compress_vec(&block, &mut packed, FlushCompress::Sync)
            .unwrap();
        packed
    }

    /// Opens a stream and does not wait for the answer.
    pub async fn open(&mut self, headers: &[(&str, &str)]) -> u32 {
        let id = self.next;
        self.next += 2;
        let packed = self.pack(headers);
        self.control(1, 0, &[&id.to_be_bytes()[..], &[0; 6], &packed].concat())
            .await;
        id
    }

    /// Opens a stream that is accepted.
    pub async fn stream(&mut self, kind: &str) -> u32 {
        let id = self.open(&[("streamtype", kind)]).await;
        assert_eq!(self.frame().await, Some(Frame::Reply(id)));
        id
    }

    /// Opens both streams of a connection to a port: for its bytes, and for what goes wrong.
    pub async fn port(&mut self, port: u16, request: &str) -> (u32, u32) {
        let port = port.to_string();
        let error = self
            .open(&[("streamtype", "error"), ("port", &port), ("requestid", request)])
            .await;
        assert_eq!(self.frame().await, Some(Frame::Reply(error)));
        let data = self
            .open(&[("streamtype", "data"), ("port", &port), ("requestid", request)])
            .await;
        assert_eq!(self.frame().await, Some(Frame::Reply(data)));
        (data, error)
    }

    pub async fn data(&mut self, id: u32, bytes: &[u8], last: bool) {
        self.send(&data(id, bytes, last)).await;
    }

    pub async fn reset(&mut self, id: u32) {
        self.control(3, 0, &[id.to_be_bytes(), 5_u32.to_be_bytes()].concat())
            .await;
    }

    pub async fn ping(&mut self, id: u32) {
        self.control(6, 0, &id.to_be_bytes()).await;
    }

    pub async fn go_away(&mut self) {
        self.control(7, 0, &[0; 8]).await;
    }

    /// The next frame, or the end of the connection.
    pub async fn frame(&mut self) -> Option<Frame> {
        let word = self.stream.read_u32().await.ok()?;
        let length = self.stream.read_u32().await.ok()?;
        let mut bytes = vec![0; (length & 0xff_ffff) as usize];
        self.stream.read_exact(&mut bytes).await.ok()?;
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        Some(match word {
            0x8003_0002 => Frame::Reply(number(0)),
            0x8003_0003 => Frame::Reset(number(0), number(4)),
            0x8003_0006 => Frame::Ping(number(0)),
            0x8003_0007 => Frame::GoAway(number(0), number(4)),
            id if id < 0x8000_0000 => Frame::Data {
                id,
                last: length >> 24 & 1 == 1,
                bytes,
            },
            other => panic!("{other:x}"),
        })
    }

    /// Everything until the server says that there is no more: bytes by stream, which streams ended, and the status.
    pub async fn rest(&mut self) -> (BTreeMap<u32, String>, Vec<u32>, Option<u32>) {
        let (mut texts, mut ended) = (BTreeMap::<u32, Vec<u8>>::new(), Vec::new());
        let status = loop {
            match self.frame().await {
                None => break None,
                Some(Frame::GoAway(_, status)) => break Some(status),
                Some(Frame::Data { id, last, bytes }) => {
                    texts.entry(id).or_default().extend_from_slice(&bytes);
                    if last {
                        ended.push(id);
                    }
                }
                Some(Frame::Ping(_)) => {}
                Some(other) => panic!("{other:?}"),
            }
        };
        let texts = texts
            .into_iter()
            .map(|(id, text)| (id, String::from_utf8(text).unwrap()));
        ended.sort_unstable();
        (texts.collect(), ended, status)
    }
}

/// A control frame.
pub fn control(kind: u16, flags: u8, rest: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80, 3];
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.push(flags);
    frame.extend_from_slice(&(rest.len() as u32).to_be_bytes()[1..]);
    frame.extend_from_slice(rest);
    frame
}

/// A frame with bytes.
pub fn data(id: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let mut frame = id.to_be_bytes().to_vec();
    frame.push(u8::from(last));
    frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes()[1..]);
    frame.extend_from_slice(bytes);
    frame
}
