//! Clients that may ask and misbehave: their sessions end, and nothing else does.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::Node;
use common::spdy::{Frame, Spdy, control, data, upgrade};
use common::websocket::WebSocket;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

const EXEC: &str = "/exec/ns/p/c?command=cat&input=1&output=1";
const V4: &str = "v4.channel.k8s.io";

#[tokio::test]
async fn a_spdy_session_that_makes_no_sense_ends_and_its_process_with_it() {
    let (node, client) = Node::with_pod().await;
    let id = |id: u32| id.to_be_bytes();
    let opening = |number: u32, packed: &[u8]| control(1, 0, &[&id(number)[..], &[0; 6], packed].concat());
    let mut bomb = Spdy::over(tokio::io::empty());
    let large = "x".repeat(100_000);
    let bomb = bomb.pack(&[("bomb", &large)]);
    for (what, bytes) in [
        ("another version", [&[0x80, 2, 0, 6, 0, 0, 0, 4][..], &id(1)].concat()),
        ("a control frame that is too long", control(1, 0, &vec![0; 20_000])),
        ("a stream whose frame is too short", control(1, 0, &id(9))),
        ("a stream without headers", opening(9, &[])),
        ("headers that are not packed", opening(9, b"streamtype: error")),
        ("headers that are packed too well", opening(9, &bomb)),
        ("a stream that is there already", opening(1, &[0; 4])),
        ("a stream that the server should have opened", opening(10, &[0; 4])),
        ("stream 0", opening(0, &[0; 4])),
        ("data of stream 0", data(0, b"x", false)),
        ("data of a stream that never was", data(99, b"x", false)),
        ("half of an end", control(3, 0, &id(1))),
        ("a long question", control(6, 0, &[0; 8])),
        ("a short good-bye", control(7, 0, &[0; 4])),
    ] {
        let mut spdy = Spdy::connect(&client, EXEC, V4).await;
        for kind in ["error", "stdin", "stdout"] {
            spdy.stream(kind).await;
        }
        node.here.until_open(1).await;
        spdy.send(&bytes).await;
        assert!(matches!(spdy.frame().await, Some(Frame::GoAway(5, 1))), "{what}");
        assert_eq!(spdy.frame().await, None, "{what}");
        node.here.until_open(0).await;
    }
    assert_eq!(client.get("/healthz").await.text, "ok");
}

#[tokio::test]
async fn a_websocket_that_makes_no_sense_ends_and_its_process_with_it() {
    let (node, client) = Node::with_pod().await;
    let masked = |first: u8, bytes: &[u8]| [&[first, 0x80 | bytes.len() as u8, 0, 0, 0, 0], bytes].concat();
    let long = |first: u8, length: u64| [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat();
    for (protocol, what, bytes) in [
        (V4, "a frame that is not masked", vec![0x82, 1, 0]),
        (V4, "a kind of frame that there is not", masked(0x83, b"x")),
        (V4, "reserved bits", masked(0xf2, b"x")),
        (V4, "a frame that is too long", long(0x82, 9 << 20)),
        (V4, "a frame that is longer than anything", long(0x82, u64::MAX)),
        (V4, "text that is none", masked(0x81, b"\xff\xff")),
        (V4, "the rest of nothing", masked(0x80, b"x")),
        (V4, "a long question", masked(0x89, &[0; 126])),
        (
            "v5.channel.k8s.io",
            "the end of a channel that there is not",
            masked(0x82, &[255, 9]),
        ),
        ("v5.channel.k8s.io", "the end of no channel", masked(0x82, &[255])),
        ("v4.base64.channel.k8s.io", "bad base64", masked(0x81, b"0?")),
    ] {
        let mut socket = WebSocket::connect(&client, EXEC, protocol).await.unwrap();
        socket.message().await.unwrap();
        node.here.until_open(1).await;
        let raw = socket.stream.get_mut();
        raw.write_all(&bytes).await.unwrap();
        raw.flush().await.unwrap();
        match socket.message().await {
            None => {}
            Some(Message::Close(close)) => assert_ne!(close.map(|close| close.code.into()), Some(1000), "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        node.here.until_open(0).await;
    }
    // Channels that nobody reads are as with the kubelet.
    let mut socket = WebSocket::connect(&client, EXEC, V4).await.unwrap();
    socket.message().await.unwrap();
    for channel in [1, 2, 3, 4, 5, 200, 255] {
        socket.send(channel, b"ignored").await;
    }
    socket.send(0, b"read").await;
    assert_eq!(socket.message().await, Some(Message::binary(b"\x01read".to_vec())));
    assert_eq!(client.get("/healthz").await.text, "ok");
}

#[tokio::test]
async fn a_message_in_endless_pieces_has_an_end() {
    let (node, client) = Node::with_pod().await;
    let mut socket = WebSocket::connect(&client, EXEC, V4).await.unwrap();
    socket.message().await.unwrap();
    let raw = socket.stream.get_mut();
    let piece = |first: u8| {
        let length = 1_u64 << 16;
        [&[first, 0xff][..], &length.to_be_bytes(), &[0; 4], &vec![0; 1 << 16]].concat()
    };
    raw.write_all(&piece(0x02)).await.unwrap();
    let mut sent = 0;
    while raw.write_all(&piece(0x00)).await.is_ok() && raw.flush().await.is_ok() {
        sent += 1;
        assert!(sent < 1000, "it is still taken");
    }
    node.here.until_open(0).await;
}

#[tokio::test]
async fn half_a_frame_is_waited_for_and_costs_nobody_anything() {
    let (node, client) = Node::with_pod().await;
    let mut halves = Vec::new();
    for number in 1..20 {
        let mut spdy = Spdy::connect(&client, EXEC, V4).await;
        for kind in ["error", "stdin", "stdout"] {
            spdy.stream(kind).await;
        }
        spdy.send(&data(3, &[b'x'; 40], false)[..number]).await;
        halves.push(spdy);
    }
    node.here.until_open(19).await;
    assert_eq!(client.get("/healthz").await.text, "ok");
    drop(halves);
    node.here.until_open(0).await;
}

#[tokio::test]
async fn nothing_for_four_hours_is_the_end() {
    let (node, client) = Node::with_pod().await;
    let start = tokio::time::Instant::now();
    let mut spdy = Spdy::connect(&client, EXEC, V4).await;
    for kind in ["error", "stdin", "stdout"] {
        spdy.stream(kind).await;
    }
    node.here.until_open(1).await;
    tokio::time::pause();
    let mut asked = 0;
    while let Some(Frame::Ping(_)) = spdy.frame().await {
        asked += 1;
    }
    assert!(
        start.elapsed() >= Duration::from_secs(4 * 60 * 60) && asked > 400,
        "{asked}"
    );
    node.here.until_open(0).await;
}

#[tokio::test]
async fn a_client_that_does_not_leave_at_the_end_is_left() {
    let (_node, client) = Node::with_pod().await;
    let mut spdy = Spdy::connect(&client, EXEC, V4).await;
    let mut ids = Vec::new();
    for kind in ["error", "stdin", "stdout"] {
        ids.push(spdy.stream(kind).await);
    }
    spdy.data(ids[1], b"", true).await;
    assert_eq!(spdy.rest().await.2, Some(0));
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    assert_eq!(spdy.frame().await, None);
    let waited = start.elapsed().as_secs();
    assert!((5..12).contains(&waited), "{waited}");
}

#[tokio::test]
async fn a_pod_has_an_end_to_how_many_sessions_it_has() {
    let (_node, client) = Node::with_pod().await;
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "v4.channel.k8s.io, portforward.k8s.io"),
    ];
    let mut sessions = Vec::new();
    for number in 0..100 {
        let path = if number % 2 == 0 { EXEC } else { "/portForward/ns/p" };
        let session = upgrade(&client, "POST", path, &headers).await;
        assert_eq!(session.status, 101);
        sessions.push(session);
    }
    let refused = upgrade(&client, "POST", EXEC, &headers).await;
    assert_eq!(refused.headers["retry-after"], "60");
    assert_eq!(
        refused.words().await,
        (429, "maximum number of in-flight requests exceeded".to_owned())
    );
    sessions.pop();
    while upgrade(&client, "POST", EXEC, &headers).await.status == 429 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_thousand_connections_that_say_nothing_do_not_end_what_is_there() {
    let (node, client) = Node::with_pod().await;
    let mut spdy = Spdy::connect(&client, EXEC, V4).await;
    let mut ids = Vec::new();
    for kind in ["error", "stdin", "stdout"] {
        ids.push(spdy.stream(kind).await);
    }
    let mut silent = Vec::new();
    for _ in 0..1100 {
        silent.push(TcpStream::connect(node.serving.address).await.unwrap());
    }
    spdy.data(ids[1], b"still here", true).await;
    assert_eq!(spdy.rest().await.0[&ids[2]], "still here");
    drop(silent);
    assert_eq!(client.get("/healthz").await.text, "ok");
}
