//! Ports of pods, over both protocols and both in one another.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::Node;
use common::spdy::{Frame, Spdy, upgrade};
use common::websocket::WebSocket;
use futures::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

const V1: &str = "portforward.k8s.io";

/// A port that says what it was told, as often as it is connected to, once the other side has ended.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut reading, mut writing) = stream.split();
                let _ = tokio::io::copy(&mut reading, &mut writing).await;
                let _ = writing.shutdown().await;
            });
        }
    });
    port
}

/// A port where nobody is.
async fn nobody() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port()
}

async fn text(spdy: &mut Spdy, id: u32) -> String {
    let mut all = Vec::new();
    loop {
        match spdy.frame().await.unwrap() {
            Frame::Data { id: found, last, bytes } if found == id => {
                all.extend_from_slice(&bytes);
                if last {
                    return String::from_utf8(all).unwrap();
                }
            }
            Frame::Data { last: true, .. } | Frame::Ping(_) | Frame::Reset(..) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn many_connections_go_through_one_session() {
    let (node, client) = Node::with_pod().await;
    let port = echo().await;
    let mut spdy = Spdy::connect(&client, "/portForward/ns/p", V1).await;
    let mut pairs = Vec::new();
    for number in 0..100 {
        pairs.push(spdy.port(port, &number.to_string()).await);
    }
    node.here.until_open(100).await;
    for (data, error) in &pairs {
        spdy.data(*error, b"", true).await;
        spdy.data(*data, format!("hello {data}").as_bytes(), true).await;
    }
    let mut texts = std::collections::BTreeMap::<u32, Vec<u8>>::new();
    let mut ended = 0;
    while ended < 200 {
        if let Some(Frame::Data { id, last, bytes }) = spdy.frame().await {
            texts.entry(id).or_default().extend_from_slice(&bytes);
            ended += usize::from(last);
        }
    }
    for (data, error) in pairs {
        assert_eq!(texts[&data], format!("hello {data}").as_bytes());
        assert!(texts[&error].is_empty());
    }
    node.here.until_open(0).await;
    // And others after them.
    let (data, _) = spdy.port(port, "again").await;
    spdy.data(data, b"x", true).await;
    assert_eq!(text(&mut spdy, data).await, "x");
}

#[tokio::test]
async fn what_goes_wrong_is_said_on_the_error_stream_and_the_session_lives() {
    let (_node, client) = Node::with_pod().await;
    let mut spdy = Spdy::connect(&client, "/portForward/ns/p/u-1", V1).await;
    let closed = nobody().await;
    let (data, error) = spdy.port(closed, "0").await;
    let words = text(&mut spdy, error).await;
    assert!(
        words.starts_with(&format!("error forwarding port {closed} to pod p, uid u-1: ")) && words.contains("refused"),
        "{words}"
    );
    let (data_2, _) = spdy.port(echo().await, "1").await;
    assert_ne!(data, data_2);
    spdy.data(data_2, b"still here", true).await;
    assert_eq!(text(&mut spdy, data_2).await, "still here");
}

#[tokio::test]
async fn a_connection_that_the_client_gives_up_is_closed() {
    let (node, client) = Node::with_pod().await;
    let mut spdy = Spdy::connect(&client, "/portForward/ns/p", V1).await;
    let port = echo().await;
    let (first, _) = spdy.port(port, "0").await;
    let (second, _) = spdy.port(port, "1").await;
    spdy.port(port, "2").await;
    node.here.until_open(3).await;
    spdy.reset(first).await;
    node.here.until_open(2).await;
    spdy.data(second, b"", true).await;
    node.here.until_open(1).await;
    drop(spdy);
    node.here.until_open(0).await;
}

#[tokio::test]
async fn streams_without_a_port_or_a_kind_are_refused_and_halves_do_not_wait_for_ever() {
    let (node, client) = Node::with_pod().await;
    let mut spdy = Spdy::connect(&client, "/portForward/ns/p", V1).await;
    for headers in [
        &[][..],
        &[("port", "80")],
        &[("streamtype", "data")],
        &[("streamtype", "data"), ("port", "0")],
        &[("streamtype", "data"), ("port", "65536")],
        &[("streamtype", "data"), ("port", "http")],
        &[("streamtype", "stdin"), ("port", "80")],
        &[("streamtype", "data"), ("port", "80"), ("requestid", "")],
    ] {
        let id = spdy.open(headers).await;
        match spdy.frame().await {
            Some(Frame::Reset(found, 3)) => assert_eq!(found, id, "{headers:?}"),
            // Without a request it belongs to the stream before.
            Some(Frame::Reply(found)) if headers.len() == 3 => assert_eq!(found, id),
            other => panic!("{headers:?}: {other:?}"),
        }
    }
    let error = spdy
        .open(&[("streamtype", "error"), ("port", "80"), ("requestid", "x")])
        .await;
    assert_eq!(spdy.frame().await, Some(Frame::Reply(error)));
    let double = spdy
        .open(&[("streamtype", "error"), ("port", "80"), ("requestid", "x")])
        .await;
    assert_eq!(spdy.frame().await, Some(Frame::Reply(double)));
    assert_eq!(spdy.frame().await, Some(Frame::Reset(double, 5)));
    tokio::time::pause();
    assert!(text(&mut spdy, error).await.contains("timed out waiting for streams"));
    assert!(node.here.asked().is_empty());
}

#[tokio::test]
async fn after_a_port_has_ended_the_client_has_a_while_to_end_as_well() {
    let (node, client) = Node::with_pod().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"bye").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.map(|_| said)
    });
    let mut spdy = Spdy::connect(&client, "/portForward/ns/p", V1).await;
    let (bytes, error) = spdy.port(port, "1").await;
    assert_eq!(text(&mut spdy, bytes).await, "bye");
    spdy.data(bytes, b"still here", false).await;
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    assert_eq!(text(&mut spdy, error).await, "");
    let waited = start.elapsed().as_secs();
    assert!((5..12).contains(&waited), "{waited}");
    assert_eq!(served.await.unwrap().unwrap(), "still here");
    node.here.until_open(0).await;
}

#[tokio::test]
async fn old_clients_do_not_say_which_streams_belong_together() {
    let (_node, client) = Node::with_pod().await;
    let port = echo().await.to_string();
    let mut spdy = Spdy::connect(&client, "/portForward/ns/p", V1).await;
    let error = spdy.open(&[("streamtype", "error"), ("port", &port)]).await;
    assert_eq!(spdy.frame().await, Some(Frame::Reply(error)));
    let data = spdy.open(&[("streamtype", "data"), ("port", &port)]).await;
    assert_eq!(spdy.frame().await, Some(Frame::Reply(data)));
    spdy.data(data, b"x", true).await;
    assert_eq!(text(&mut spdy, data).await, "x");
}

#[tokio::test]
async fn a_websocket_can_carry_the_same_session() {
    let (node, client) = Node::with_pod().await;
    let protocols = "SPDY/3.1+portforward.k8s.io";
    let socket = WebSocket::connect(&client, "/portForward/ns/p", protocols)
        .await
        .unwrap();
    assert_eq!(socket.protocol.as_deref(), Some(protocols));
    let mut stream = socket.stream;
    // One end of a pipe is what a client inside would have; the messages are cut anywhere.
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let pump = tokio::spawn(async move {
        let mut buffer = [0; 7];
        loop {
            tokio::select! {
                read = far.read(&mut buffer) => match read.unwrap() {
                    0 => break,
                    read => stream.send(Message::binary(buffer[..read].to_vec())).await.unwrap(),
                },
                message = futures::StreamExt::next(&mut stream) => match message {
                    Some(Ok(Message::Binary(bytes))) => far.write_all(&bytes).await.unwrap(),
                    Some(Ok(Message::Ping(_))) => {}
                    other => panic!("{other:?}"),
                },
            }
        }
        stream.close(None).await.unwrap();
    });
    let mut spdy = Spdy::over(near);
    let (data, _) = spdy.port(echo().await, "0").await;
    spdy.data(data, &[b'x'; 100_000], false).await;
    let mut count = 0;
    while count < 100_000 {
        match spdy.frame().await {
            Some(Frame::Data { id, bytes, .. }) if id == data => count += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    drop(spdy);
    pump.await.unwrap();
    node.here.until_open(0).await;
}

#[tokio::test]
async fn a_websocket_has_two_channels_for_each_port_that_it_names() {
    let (_node, client) = Node::with_pod().await;
    let (first, second, closed) = (echo().await, echo().await, nobody().await);
    let path = format!("/portForward/ns/p?port={first},{second}&port={closed}");
    let mut socket = WebSocket::connect(&client, &path, "v4.channel.k8s.io").await.unwrap();
    socket.send(0, b"to the first").await;
    socket.send(2, b"to the second").await;
    let mut texts = std::collections::BTreeMap::<u8, Vec<u8>>::new();
    while texts.get(&0).is_none_or(|text| text.len() < 14)
        || texts.get(&2).is_none_or(|text| text.len() < 15)
        || texts.get(&5).is_none_or(|text| text.len() < 3)
    {
        let Some(Message::Binary(bytes)) = socket.message().await else {
            panic!()
        };
        texts.entry(bytes[0]).or_default().extend_from_slice(&bytes[1..]);
    }
    assert_eq!(texts[&0], [&first.to_le_bytes()[..], b"to the first"].concat());
    assert_eq!(texts[&1], first.to_le_bytes());
    assert_eq!(texts[&2], [&second.to_le_bytes()[..], b"to the second"].concat());
    assert_eq!(texts[&4], closed.to_le_bytes());
    let words = String::from_utf8_lossy(&texts[&5][2..]).into_owned();
    assert!(
        words.starts_with(&format!("error forwarding port {closed} to pod p")),
        "{words}"
    );

    let mut alone = WebSocket::connect(&client, &format!("/portForward/ns/p?port={closed}"), "")
        .await
        .unwrap();
    while let Some(message) = alone.message().await {
        assert!(matches!(message, Message::Binary(_) | Message::Close(_)));
    }
}

#[tokio::test]
async fn refusals_have_the_kubelets_codes_and_words() {
    let (node, client) = Node::with_pod().await;
    node.pods.put(
        serde_json::from_value(serde_json::json!({"metadata": {"name": "w", "namespace": "ns", "uid": "u-2"}}))
            .unwrap(),
    );
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", V1),
    ];
    for (path, code, words) in [
        ("/portForward/ns/q", 404, "pod does not exist"),
        ("/portForward/ns/p/u-2", 404, "pod not found"),
        ("/portForward/ns/w", 500, "pod not found (\"w_ns\")"),
    ] {
        let answer = upgrade(&client, "POST", path, &headers).await;
        assert_eq!(answer.words().await, (code, words.to_owned()), "{path}");
    }
    let socket = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    for (query, words) in [
        ("", "query parameter \"port\" is required"),
        ("?port=", "query parameter \"port\" cannot be empty"),
        ("?port=80,0", "port \"80,0\" must be > 0"),
        (
            "?port=x",
            "unable to parse \"x\" as a port: invalid digit found in string",
        ),
    ] {
        let answer = upgrade(&client, "GET", &format!("/portForward/ns/p{query}"), &socket).await;
        assert_eq!(answer.words().await, (400, words.to_owned()), "{query}");
    }
    let many = vec!["80"; 65].join(",");
    let answer = upgrade(&client, "GET", &format!("/portForward/ns/p?port={many}"), &socket).await;
    assert_eq!(answer.status, 400);
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "v2"),
    ];
    assert_eq!(
        upgrade(&client, "POST", "/portForward/ns/p", &headers).await.status,
        403
    );
}
