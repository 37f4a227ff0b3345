//! Whatever a client sends: a session ends or goes on, and what it keeps in memory is bounded.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};

use super::pipe::{Budget, Out, Sender, incoming, outgoing};
use super::spdy::{Reader, Stream};
use super::websocket::{self, Channels};
use super::{Activity, Fault};

/// A part of what a client sends.
#[derive(Debug, Clone)]
enum Sent {
    Noise(Vec<u8>),
    Control(u16, u8, Vec<u8>),
    Open(u32, u8, Vec<(String, String)>),
    Data(u32, u8, usize),
    /// A frame that is longer than it says, or shorter.
    Wrong(u16, u32, Vec<u8>),
}

fn sent() -> impl Strategy<Value = Sent> {
    let id = prop_oneof![4 => (0_u32..12).prop_map(|id| 2 * id + 1), 1 => any::<u32>()];
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..most);
    let headers = prop::collection::vec(("[a-zA-Z]{0,9}|streamtype|port", "[a-z0-9\0]{0,9}"), 0..5);
    prop_oneof![
        1 => bytes(40).prop_map(Sent::Noise),
        2 => (0_u16..12, any::<u8>(), bytes(30)).prop_map(|(kind, flags, rest)| Sent::Control(kind, flags, rest)),
        8 => (id.clone(), 0_u8..4, headers).prop_map(|(id, flags, headers)| Sent::Open(id, flags, headers)),
        4 => (id, any::<u8>(), 0_usize..100_000).prop_map(|(id, flags, length)| Sent::Data(id, flags, length)),
        1 => (0_u16..12, 0_u32..0x0100_0000, bytes(20)).prop_map(|(kind, length, rest)| Sent::Wrong(kind, length, rest)),
    ]
}

fn control(kind: u16, flags: u8, length: u32) -> Vec<u8> {
    let mut frame = vec![0x80, 3];
    frame.extend_from_slice(&kind.to_be_bytes());
    frame.extend_from_slice(&(u32::from(flags) << 24 | length).to_be_bytes());
    frame
}

fn pack(packing: &mut Compress, headers: &[(String, String)]) -> Vec<u8> {
    let mut block = (headers.len() as u32).to_be_bytes().to_vec();
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.extend_from_slice(&(text.len() as u32).to_be_bytes());
        block.extend_from_slice(text.as_bytes());
    }
    let mut packed = Vec::with_capacity(block.len() + 100);
    packing.compress_vec(&block, &mut packed, FlushCompress::Sync).unwrap();
    packed
}

fn bytes(all: &[Sent]) -> Vec<u8> {
    let mut packing = Compress::new(Compression::fast(), true);
    let mut bytes = Vec::new();
    for sent in all {
        match sent {
            Sent::Noise(noise) => bytes.extend_from_slice(noise),
            Sent::Control(kind, flags, rest) => {
                bytes.extend(control(*kind, *flags, rest.len() as u32));
                bytes.extend_from_slice(rest);
            }
            Sent::Open(id, flags, headers) => {
                let packed = pack(&mut packing, headers);
                bytes.extend(control(1, *flags, packed.len() as u32 + 10));
                bytes.extend_from_slice(&id.to_be_bytes());
                bytes.extend_from_slice(&[0; 6]);
                bytes.extend(packed);
            }
            Sent::Data(id, flags, length) => {
                bytes.extend_from_slice(&(id & 0x7fff_ffff).to_be_bytes());
                bytes.extend_from_slice(&(u32::from(*flags) << 24 | *length as u32).to_be_bytes());
                bytes.resize(bytes.len() + length, b'x');
            }
            Sent::Wrong(kind, length, rest) => {
                bytes.extend(control(*kind, 0, *length));
                bytes.extend_from_slice(rest);
            }
        }
    }
    bytes
}

/// Reads to the end, with somebody who accepts all streams and takes what comes on them.
async fn read(sent: impl AsyncRead + Unpin) -> Result<(), Fault> {
    let (sender, mut out) = outgoing();
    let (reader, mut opened) = Reader::new(sent, sender, Activity::new());
    let takes = async {
        let mut tasks = tokio::task::JoinSet::new();
        while let Some(Stream { mut inlet, .. }) = opened.recv().await {
            tasks.spawn(async move { while inlet.next().await.is_some() {} });
        }
        std::future::pending::<()>().await;
    };
    let drains = async {
        while out.recv().await.is_some() {}
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = tokio::time::timeout(Duration::from_secs(60), reader.run()) => ended.expect("it neither ends nor goes on"),
        () = takes => unreachable!(),
        () = drains => unreachable!(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_is_sent_is_read_to_the_end_or_is_a_fault(all in prop::collection::vec(sent(), 0..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _ = runtime.block_on(read(&bytes(&all)[..]));
    }

    #[test]
    fn a_session_that_is_damaged_anywhere_is_read_to_the_end_or_is_a_fault(at in any::<prop::sample::Index>(), with in any::<u8>()) {
        let headers = vec![("streamtype".to_owned(), "data".to_owned()), ("port".to_owned(), "80".to_owned())];
        let mut bytes = bytes(&[
            Sent::Open(1, 0, headers.clone()),
            Sent::Control(6, 0, vec![0, 0, 0, 1]),
            Sent::Data(1, 0, 20),
            Sent::Open(3, 1, headers),
            Sent::Data(1, 1, 0),
            Sent::Control(3, 0, vec![0, 0, 0, 1, 0, 0, 0, 5]),
            Sent::Control(7, 0, vec![0; 8]),
        ]);
        let at = at.index(bytes.len());
        bytes[at] = with;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _ = runtime.block_on(read(&bytes[..]));
    }
}

/// A frame of a WebSocket as it may be sent: the first byte, whether it is masked, how its length is written, and the rest.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![6 => prop::sample::select(vec![0x82_u8, 0x81, 0x02, 0x00, 0x80, 0x88, 0x89, 0x8a]), 1 => any::<u8>()];
    let channel = prop_oneof![4 => 0_u8..5, 4 => b'0'..b'5', 1 => Just(255), 1 => any::<u8>()];
    let rest = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "[A-Za-z0-9+/]{0,20}={0,2}".prop_map(String::into_bytes),
    ];
    let length = prop_oneof![8 => Just(None), 1 => any::<u64>().prop_map(Some)];
    (first, prop::bool::weighted(0.95), channel, rest, length).prop_map(|(first, masked, channel, rest, length)| {
        let payload = [&[channel][..], &rest].concat();
        let mut frame = vec![first, u8::from(masked) << 7];
        match length {
            Some(wrong) => {
                frame[1] |= 127;
                frame.extend_from_slice(&wrong.to_be_bytes());
            }
            None if payload.len() < 126 => frame[1] |= payload.len() as u8,
            None => {
                frame[1] |= 126;
                frame.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
        }
        if masked {
            frame.extend_from_slice(&[0; 4]);
        }
        [frame, payload].concat()
    })
}

/// Reads to the end, with somebody who takes what comes on the first three channels.
async fn read_websocket(sent: &[u8], base64: bool, closing: bool) -> Result<(), Fault> {
    let (_sink, messages) = websocket::split(tokio::io::join(sent, tokio::io::sink())).await;
    let (sender, _out) = outgoing();
    let budget = Budget::new();
    let mut arrivals = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let (arrival, mut inlet) = incoming(&budget);
        arrivals.push(Some(arrival));
        tasks.spawn(async move { while inlet.next().await.is_some() {} });
    }
    let channels = Channels {
        arrivals,
        base64,
        closing,
    };
    let reading = websocket::read(messages, channels, sender, Activity::new());
    let ended = tokio::time::timeout(Duration::from_secs(60), reading).await;
    ended.expect("it neither ends nor goes on")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whatever_a_websocket_sends_is_read_to_the_end_or_is_a_fault(
        frames in prop::collection::vec(frame(), 0..20),
        base64 in any::<bool>(),
        closing in any::<bool>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = frames.concat();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _ = runtime.block_on(read_websocket(&bytes, base64, closing));
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = runtime.block_on(read_websocket(&bytes, base64, closing));
    }
}

/// The same bytes again and again, as many as are wanted.
struct Endless {
    first: Vec<u8>,
    again: Vec<u8>,
    at: usize,
    taken: Arc<AtomicUsize>,
}

impl AsyncRead for Endless {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        while buffer.remaining() > 0 {
            let source = match self.at.checked_sub(self.first.len()) {
                None => &self.first[self.at..],
                Some(at) => &self.again[at % self.again.len()..],
            };
            let piece = source.len().min(buffer.remaining());
            buffer.put_slice(&source[..piece]);
            self.at += piece;
        }
        self.taken.store(self.at, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// How much is read of a flood while nobody takes anything, and what was to be sent meanwhile.
async fn flood(first: Vec<u8>, again: Vec<u8>) -> (usize, Vec<Out>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let endless = Endless {
        first,
        again,
        at: 0,
        taken: Arc::clone(&taken),
    };
    let (sender, mut out): (Sender, _) = outgoing();
    let (reader, mut opened) = Reader::new(endless, sender, Activity::new());
    let held = async {
        let mut streams = Vec::new();
        while let Some(stream) = opened.recv().await {
            streams.push(stream);
        }
        std::future::pending::<()>().await;
    };
    let both = async { tokio::join!(reader.run(), held) };
    assert!(
        tokio::time::timeout(Duration::from_secs(60), both).await.is_err(),
        "it waits"
    );
    let mut sent = Vec::new();
    while let Ok(frame) = out.try_recv() {
        sent.push(frame);
    }
    (taken.load(Ordering::Relaxed), sent)
}

#[tokio::test(start_paused = true)]
async fn a_flood_that_nobody_takes_is_not_read() {
    let open = bytes(&[Sent::Open(1, 0, vec![])]);
    for length in [1, 100, 30_000, 0xff_ffff] {
        let (taken, _) = flood(open.clone(), bytes(&[Sent::Data(1, 0, length)])).await;
        assert!(taken < 2 << 20, "{taken} bytes of frames of {length}");
    }
    // Questions whose answers nobody takes.
    let (taken, sent) = flood(open, bytes(&[Sent::Control(6, 0, vec![0, 0, 0, 1])])).await;
    assert!(
        taken < 1 << 20 && sent.len() < 100,
        "{taken} bytes, {} answers",
        sent.len()
    );
}

#[tokio::test(start_paused = true)]
async fn there_is_an_end_to_how_many_streams_are_open() {
    let many: Vec<_> = (0..1030).map(|number| Sent::Open(2 * number + 1, 0, vec![])).collect();
    let (sender, mut out) = outgoing();
    let bytes = bytes(&many);
    let (reader, mut opened) = Reader::new(&bytes[..], sender, Activity::new());
    let held = async {
        let mut streams = Vec::new();
        while let Some(stream) = opened.recv().await {
            streams.push(stream);
        }
        streams.len()
    };
    let (read, held) = tokio::join!(reader.run(), held);
    assert_eq!((read, held), (Ok(()), 1024));
    for number in 1024..1030 {
        assert_eq!(out.recv().await, Some(Out::Reset(2 * number + 1, 3)));
    }
}
