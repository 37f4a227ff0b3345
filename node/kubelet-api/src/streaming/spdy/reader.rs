//! What a client sends: frames, read as far as they are understood.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::headers::{Headers, Unpacking};
use super::{CONTROL, FIN, PROTOCOL_ERROR, REFUSED_STREAM, kind};
use crate::streaming::pipe::{Arrival, Budget, Inlet, Out, Outlet, PIECE, Sender, incoming};
use crate::streaming::{Activity, Fault};

/// Streams that are open at once, at most.
const STREAMS: usize = 1024;
/// Streams that have been opened and not yet been looked at, at most.
const OPENED: usize = 32;
/// Bytes of a control frame at most.
const CONTROL_FRAME: usize = 16 << 10;
/// Bytes read at once.
const BUFFER: usize = 64 << 10;

/// A stream that the client has opened and that has not been answered yet.
#[derive(Debug)]
pub struct Stream {
    /// Counted by the client: odd, and each larger than the one before.
    pub id: u32,
    /// What the client says of it.
    pub headers: Headers,
    /// What comes from the client.
    pub inlet: Inlet,
    /// What goes there.
    pub outlet: Outlet,
    /// The client has given it up altogether. Held as long as the stream is of interest.
    pub open: Open,
    sender: Sender,
}

/// That a stream is open.
#[derive(Debug, Clone)]
pub struct Open(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    gone: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Open {
    /// Waits until the client gives the stream up.
    pub async fn gone(&self) {
        self.0.gone.cancelled().await;
    }
}

impl Stream {
    /// Tells the client that it may use the stream.
    pub async fn accept(&self) {
        // If the connection is gone somebody else notices.
        let _ = self.sender.send(Out::Reply(self.id)).await;
    }

    /// Tells the client that the stream is of no use.
    pub async fn refuse(self) {
        let _ = self.outlet.reset(REFUSED_STREAM).await;
    }
}

struct Slot {
    arrival: Option<Arrival>,
    shared: Weak<Shared>,
}

/// Reads a connection.
pub struct Reader<R> {
    io: R,
    buffer: BytesMut,
    unpacking: Unpacking,
    slots: HashMap<u32, Slot>,
    places: Arc<Semaphore>,
    last: u32,
    sender: Sender,
    opened: mpsc::Sender<Stream>,
    budget: Budget,
    activity: Activity,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    /// Of a connection that has just been taken over, and the streams that will be opened on it.
    pub fn new(io: R, sender: Sender, activity: Activity) -> (Self, mpsc::Receiver<Stream>) {
        let (opened, streams) = mpsc::channel(OPENED);
        let reader = Self {
            io,
            buffer: BytesMut::new(),
            unpacking: Unpacking::new(),
            slots: HashMap::new(),
            places: Arc::new(Semaphore::new(STREAMS)),
            last: 0,
            sender,
            opened,
            budget: Budget::new(),
            activity,
        };
        (reader, streams)
    }

    /// Reads until the client leaves.
    ///
    /// # Errors
    /// The client sends what cannot be understood. It has been told.
    pub async fn run(mut self) -> Result<(), Fault> {
        let ended = loop {
            match self.frame().await {
                Ok(true) => self.activity.note(),
                Ok(false) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        if ended.is_err() {
            self.sender.last_words(Out::Last(self.last, PROTOCOL_ERROR)).await;
        }
        ended
    }

    /// One frame; `false` if there is none any more.
    async fn frame(&mut self) -> Result<bool, Fault> {
        if !self.fill(8).await {
            return Ok(false);
        }
        let (word, flags) = (self.buffer.get_u32(), self.buffer[0]);
        let length = (self.buffer.get_u32() & 0xff_ffff) as usize;
        let (start, kind) = ((word >> 16) as u16, word as u16);
        if start & 0x8000 == 0 {
            return self.data(word, flags & FIN != 0, length).await;
        }
        if start != CONTROL {
            return Err(Fault::new(format!("a frame of version {} and not 3", start & 0x7fff)));
        }
        if length > CONTROL_FRAME {
            return Err(Fault::new(format!(
                "a control frame of {length} bytes; {CONTROL_FRAME} are the most"
            )));
        }
        if !self.fill(length).await {
            return Ok(false);
        }
        let frame = self.buffer.split_to(length).freeze();
        self.control(kind, flags, frame).await
    }

    async fn control(&mut self, kind: u16, flags: u8, mut frame: Bytes) -> Result<bool, Fault> {
        let (least, exact) = match kind {
            kind::SYN_STREAM => (10, false),
            kind::SYN_REPLY | kind::HEADERS => (4, false),
            kind::RST_STREAM | kind::GOAWAY => (8, true),
            kind::PING => (4, true),
            // Settings and windows: the other side of these does not know of them either.
            _ => return Ok(true),
        };
        if frame.len() < least || exact && frame.len() > least {
            return Err(Fault::new(format!(
                "a control frame of type {kind} with {} bytes",
                frame.len()
            )));
        }
        let id = frame.get_u32();
        match kind {
            kind::SYN_STREAM => {
                // Another stream that it belongs to, and a priority.
                frame.advance(6);
                let headers = self.unpacking.headers(&frame)?;
                self.open(id, headers, flags & FIN != 0).await?;
            }
            kind::SYN_REPLY | kind::HEADERS => {
                self.unpacking.headers(&frame)?;
                if flags & FIN != 0 {
                    self.finish(id);
                }
            }
            kind::RST_STREAM => {
                let shared = self.slots.remove(&id).and_then(|slot| slot.shared.upgrade());
                if let Some(shared) = shared {
                    shared.gone.cancel();
                }
            }
            // Those with even numbers are answers to ours.
            kind::PING if id % 2 == 1 => {
                let _ = self.sender.send(Out::Pong(id)).await;
            }
            kind::GOAWAY => return Ok(false),
            _ => {}
        }
        Ok(true)
    }

    async fn open(&mut self, id: u32, headers: Headers, finished: bool) -> Result<(), Fault> {
        if id.is_multiple_of(2) || id <= self.last || id > i32::MAX as u32 {
            return Err(Fault::new(format!("stream {id} after stream {}", self.last)));
        }
        self.last = id;
        self.slots.retain(|_, slot| slot.shared.strong_count() > 0);
        let outlet = self.sender.outlet(id);
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            let _ = outlet.reset(REFUSED_STREAM).await;
            return Ok(());
        };
        let (arrival, inlet) = incoming(&self.budget);
        let shared = Arc::new(Shared {
            gone: CancellationToken::new(),
            _place: place,
        });
        let slot = Slot {
            arrival: (!finished).then_some(arrival),
            shared: Arc::downgrade(&shared),
        };
        self.slots.insert(id, slot);
        let stream = Stream {
            id,
            headers,
            inlet,
            outlet,
            open: Open(shared),
            sender: self.sender.clone(),
        };
        if let Err(unwanted) = self.opened.send(stream).await {
            unwanted.0.refuse().await;
        }
        Ok(())
    }

    async fn data(&mut self, id: u32, finished: bool, mut length: usize) -> Result<bool, Fault> {
        if id == 0 || id > self.last {
            return Err(Fault::new(format!("data for stream {id}, which has never been opened")));
        }
        while length > 0 {
            if !self.fill(1).await {
                return Ok(false);
            }
            let piece = length.min(PIECE).min(self.buffer.len());
            if let Some(arrival) = self.slots.get(&id).and_then(|slot| slot.arrival.as_ref()) {
                // A copy: a small piece must not hold a large buffer.
                arrival.put(Bytes::copy_from_slice(&self.buffer[..piece])).await;
            }
            self.buffer.advance(piece);
            length -= piece;
        }
        if finished {
            self.finish(id);
        }
        Ok(true)
    }

    fn finish(&mut self, id: u32) {
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.arrival = None;
        }
    }

    /// Reads until so many bytes are there; `false` if they do not come any more.
    async fn fill(&mut self, least: usize) -> bool {
        while self.buffer.len() < least {
            self.buffer.reserve(BUFFER);
            match self.io.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return false,
                Ok(_) => {}
            }
        }
        true
    }
}
