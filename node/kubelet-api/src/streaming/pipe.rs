//! The ways between one connection and what is done with it: bounded, so that whoever is fast waits for whoever is slow.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes that travel as one piece at most.
pub const PIECE: usize = 32 << 10;
/// Bytes that have arrived on a connection and wait to be taken, at most.
const WAITING: usize = 1 << 20;
/// What a piece costs beside its bytes.
const PIECE_COST: usize = 128;
/// Pieces that wait to be sent on a connection, at most.
const TO_SEND: usize = 16;

/// How long the last words may wait.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What is to be sent, whatever the protocol.
#[derive(Debug, PartialEq, Eq)]
pub enum Out {
    /// Bytes of a stream.
    Data(u32, Bytes),
    /// The end of a stream.
    Fin(u32),
    /// A stream that the client has opened is accepted.
    Reply(u32),
    /// The end of a stream in both directions, with a status.
    Reset(u32, u32),
    /// The client asked whether somebody is there.
    Pong(u32),
    /// Asks the client the same.
    Ping,
    /// Nothing comes behind this: the last stream that was looked at, and a status.
    Last(u32, u32),
}

/// Where everything that is to be sent on a connection goes.
#[derive(Debug, Clone)]
pub struct Sender(mpsc::Sender<Out>);

/// It cannot be sent any more.
#[derive(Debug)]
pub struct Gone;

/// The way out of a connection.
pub fn outgoing() -> (Sender, mpsc::Receiver<Out>) {
    let (sender, receiver) = mpsc::channel(TO_SEND);
    (Sender(sender), receiver)
}

impl Sender {
    /// Waits for a place.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn send(&self, out: Out) -> Result<(), Gone> {
        self.0.send(out).await.map_err(|_| Gone)
    }

    /// Waits for a place, but not for long: the client may not take anything any more.
    pub async fn last_words(&self, out: Out) {
        let _ = tokio::time::timeout(LAST_WORDS, self.send(out)).await;
    }

    /// One stream of it.
    pub fn outlet(&self, stream: u32) -> Outlet {
        Outlet {
            stream,
            sender: self.clone(),
        }
    }
}

/// A stream to the client.
#[derive(Debug, Clone)]
pub struct Outlet {
    stream: u32,
    sender: Sender,
}

impl Outlet {
    /// Bytes, which may be none.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn data(&self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.sender.send(Out::Data(self.stream, bytes.into())).await
    }

    /// Nothing comes behind this.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn fin(&self) -> Result<(), Gone> {
        self.sender.send(Out::Fin(self.stream)).await
    }

    /// Ends it in both directions.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn reset(&self, status: u32) -> Result<(), Gone> {
        self.sender.send(Out::Reset(self.stream, status)).await
    }

    /// Everything that can be read, until its end or until the connection is gone.
    ///
    /// # Errors
    /// Reading failed.
    pub async fn copy(&self, from: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        loop {
            let mut piece = BytesMut::with_capacity(PIECE);
            if from.read_buf(&mut piece).await? == 0 || self.data(piece).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// How much may have arrived on a connection without having been taken.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Semaphore>);

impl Budget {
    /// For one connection.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(WAITING)))
    }
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    _cost: OwnedSemaphorePermit,
}

/// A stream from the client, as it arrives. Dropping it is its end.
#[derive(Debug)]
pub struct Arrival {
    pieces: mpsc::UnboundedSender<Piece>,
    budget: Budget,
}

/// A stream from the client, as it is taken.
#[derive(Debug)]
pub struct Inlet(mpsc::UnboundedReceiver<Piece>);

/// A way in.
pub fn incoming(budget: &Budget) -> (Arrival, Inlet) {
    // What waits in it is bounded by what it costs.
    let (pieces, receiver) = mpsc::unbounded_channel();
    let arrival = Arrival {
        pieces,
        budget: budget.clone(),
    };
    (arrival, Inlet(receiver))
}

impl Arrival {
    /// Hands over bytes, once there is room for them. Nobody there who wants them is no error.
    pub async fn put(&self, bytes: Bytes) {
        if bytes.is_empty() || self.pieces.is_closed() {
            return;
        }
        let cost = (bytes.len() + PIECE_COST).min(WAITING) as u32;
        let room = Arc::clone(&self.budget.0).acquire_many_owned(cost);
        // What waits for room while the other side goes away need not wait any longer.
        let cost = tokio::select! {
            room = room => room,
            () = self.pieces.closed() => return,
        };
        // The semaphore is never closed.
        if let Ok(cost) = cost {
            let _ = self.pieces.send(Piece { bytes, _cost: cost });
        }
    }
}

impl Inlet {
    /// The next bytes, or the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.0.recv().await.map(|piece| piece.bytes)
    }

    /// Writes everything, and ends what it is written to. What cannot be written any more is not wanted any more.
    ///
    /// # Errors
    /// Writing failed.
    pub async fn copy(mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(mut piece) = self.0.recv().await {
            to.write_all_buf(&mut piece.bytes).await?;
            if self.0.is_empty() {
                to.flush().await?;
            }
        }
        to.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_arrives_faster_than_is_taken_waits() {
        let budget = Budget::new();
        let (arrival, mut inlet) = incoming(&budget);
        let (other, mut idle) = incoming(&budget);
        let mut put = 0;
        while tokio::time::timeout(Duration::from_secs(1), arrival.put(Bytes::from_static(b"x")))
            .await
            .is_ok()
        {
            put += 1;
        }
        assert_eq!(put, WAITING / (PIECE_COST + 1));
        let waits = tokio::time::timeout(Duration::from_secs(1), other.put(Bytes::from_static(b"y"))).await;
        assert!(waits.is_err(), "there is one budget for all");
        inlet.next().await.unwrap();
        arrival.put(Bytes::from_static(b"z")).await;
        drop(inlet);
        // Nobody wants it: it goes nowhere, and takes no room.
        arrival.put(Bytes::from(vec![0; 4 * WAITING])).await;
        other.put(Bytes::from(vec![0; 4 * WAITING])).await;
        drop(other);
        assert_eq!(idle.next().await.unwrap().len(), 4 * WAITING);
        assert!(idle.next().await.is_none());
    }

    #[tokio::test]
    async fn a_copy_ends_what_it_writes_to() {
        let (arrival, inlet) = incoming(&Budget::new());
        let (mut near, mut far) = tokio::io::duplex(10);
        arrival.put(Bytes::from_static(b"hello there, world")).await;
        drop(arrival);
        let mut read = String::new();
        let (copied, _) = tokio::join!(inlet.copy(&mut near), far.read_to_string(&mut read));
        copied.unwrap();
        assert_eq!(read, "hello there, world");
    }
}
