//! Which two streams belong together: each connection has one for its bytes and one for what goes wrong.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::streaming::spdy::{Headers, Stream};

/// What a client says of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    /// The port.
    pub port: u16,
    /// It is for what goes wrong.
    pub error: bool,
    /// Which two belong together.
    pub request: String,
}

impl Label {
    /// Reads it; `None` if the stream is of no use.
    pub fn of(id: u32, headers: &Headers) -> Option<Self> {
        let port = headers.get("port").parse().ok().filter(|port| *port > 0)?;
        let error = match headers.get("streamtype") {
            "error" => true,
            "data" => false,
            _ => return None,
        };
        let request = match headers.get("requestid") {
            // Old clients do not say; they open the error stream right before the other.
            "" if error => id.to_string(),
            "" => id.checked_sub(2)?.to_string(),
            request => request.to_owned(),
        };
        Some(Self { port, error, request })
    }
}

/// Both streams of a connection.
#[derive(Debug)]
pub struct Pair {
    /// For its bytes.
    pub data: Stream,
    /// For what goes wrong.
    pub error: Stream,
}

#[derive(Debug)]
struct Half {
    stream: Stream,
    error: bool,
    until: Instant,
}

/// Streams that wait for their other half.
#[derive(Debug, Default)]
pub struct Halves(HashMap<String, Half>);

/// What has become of a stream.
#[derive(Debug)]
pub enum Joined {
    /// It waits.
    Half,
    /// It completes a pair.
    Whole(Box<Pair>),
    /// There is one of its kind already.
    Double(Box<Stream>),
}

impl Halves {
    /// Takes a stream that may wait for its other half until then.
    pub fn join(&mut self, label: Label, stream: Stream, until: Instant) -> Joined {
        match self.0.remove(&label.request) {
            Some(half) if half.error != label.error => {
                let (data, error) = match label.error {
                    true => (half.stream, stream),
                    false => (stream, half.stream),
                };
                Joined::Whole(Box::new(Pair { data, error }))
            }
            Some(half) => {
                self.0.insert(label.request, half);
                Joined::Double(Box::new(stream))
            }
            None => {
                let half = Half {
                    stream,
                    error: label.error,
                    until,
                };
                self.0.insert(label.request, half);
                Joined::Half
            }
        }
    }

    /// Until when the first of them waits.
    pub fn until(&self) -> Option<Instant> {
        self.0.values().map(|half| half.until).min()
    }

    /// Those that have waited long enough: which request it was, whether the error stream is there, and the stream.
    pub fn late(&mut self, now: Instant) -> Vec<(String, bool, Stream)> {
        let late = self.0.extract_if(|_, half| half.until <= now);
        late.map(|(request, half)| (request, half.error, half.stream)).collect()
    }
}
