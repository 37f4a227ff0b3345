//! Commands in containers and their own streams, over both protocols.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::Node;
use common::client::{Client, read, request};
use common::spdy::{Frame, Spdy, upgrade};
use common::websocket::WebSocket;
use futures::SinkExt;
use http::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const V4: &str = "v4.channel.k8s.io";
const V5: &str = "v5.channel.k8s.io";

/// A request for a shell that does this.
fn sh(text: &str, streams: &str) -> String {
    let query: String = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("command", "sh"), ("command", "-c"), ("command", text)])
        .finish();
    format!("/exec/ns/p/c?{query}&{streams}")
}

fn status(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn code(code: u32) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: exit status {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

async fn spdy(client: &Client, path: &str, kinds: &[&str]) -> (Spdy, Vec<u32>) {
    let mut spdy = Spdy::connect(client, path, V4).await;
    let mut ids = Vec::new();
    for kind in kinds {
        ids.push(spdy.stream(kind).await);
    }
    (spdy, ids)
}

#[tokio::test]
async fn outputs_are_apart_and_the_exit_code_is_told_before_everything_ends() {
    let (node, client) = Node::with_pod().await;
    let path = sh("echo out; echo err >&2; exit 7", "output=1&error=1");
    let (mut spdy, ids) = spdy(&client, &path, &["error", "stdout", "stderr"]).await;
    let (texts, ended, last) = spdy.rest().await;
    assert_eq!((texts[&ids[1]].as_str(), texts[&ids[2]].as_str()), ("out\n", "err\n"));
    assert_eq!(status(&texts[&ids[0]]), code(7));
    assert_eq!((ended, last), (ids, Some(0)));
    assert_eq!(
        node.here.asked(),
        [r#"exec p/u-1/c ["sh", "-c", "echo out; echo err >&2; exit 7"]"#]
    );

    let mut socket = WebSocket::connect(&client, &path, V4).await.unwrap();
    assert_eq!(socket.protocol.as_deref(), Some(V4));
    assert_eq!(socket.message().await, Some(Message::Binary(vec![1].into())));
    let (texts, last) = socket.rest().await;
    assert_eq!((texts[&1].as_str(), texts[&2].as_str()), ("out\n", "err\n"));
    assert_eq!((status(&texts[&3]), last), (code(7), Some(1000)));
}

#[tokio::test]
async fn the_end_of_the_input_is_the_end_of_the_input() {
    let (_node, client) = Node::with_pod().await;
    let path = sh("cat; echo end", "input=1&output=1");
    let (mut spdy, ids) = spdy(&client, &path, &["error", "stdin", "stdout"]).await;
    spdy.data(ids[1], b"hello ", false).await;
    spdy.data(ids[1], b"world\n", true).await;
    let (texts, _, _) = spdy.rest().await;
    assert_eq!(texts[&ids[2]], "hello world\nend\n");
    assert_eq!(status(&texts[&ids[0]]), json!({"metadata": {}, "status": "Success"}));

    let mut socket = WebSocket::connect(
        &client,
        &path,
        "v6.channel.k8s.io, v5.channel.k8s.io, v4.channel.k8s.io",
    )
    .await
    .unwrap();
    assert_eq!(socket.protocol.as_deref(), Some(V5));
    socket.send(0, b"hello\n").await;
    socket.send(255, &[0]).await;
    let (texts, _) = socket.rest().await;
    assert_eq!(texts[&1], "hello\nend\n");
}

#[tokio::test]
async fn much_goes_through_in_both_directions_unchanged() {
    let (_node, client) = Node::with_pod().await;
    let path = sh("cat", "input=1&output=1");
    let sent: Vec<u8> = (0..20_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (spdy, ids) = spdy(&client, &path, &["error", "stdin", "stdout"]).await;
    let (mut reading, mut writing) = tokio::io::split(spdy.stream);
    let writes = async {
        for piece in sent.chunks(300_000) {
            let frame = common::spdy::data(ids[1], piece, false);
            tokio::io::AsyncWriteExt::write_all(&mut writing, &frame).await.unwrap();
        }
        let last = common::spdy::data(ids[1], b"", true);
        tokio::io::AsyncWriteExt::write_all(&mut writing, &last).await.unwrap();
        tokio::io::AsyncWriteExt::flush(&mut writing).await.unwrap();
    };
    let (side, _other) = tokio::io::duplex(1);
    let mut frames = Spdy::over(tokio::io::join(&mut reading, side));
    let reads = async {
        let mut all = Vec::new();
        loop {
            match frames.frame().await.unwrap() {
                Frame::Data { id, bytes, .. } if id == ids[2] => all.extend_from_slice(&bytes),
                Frame::GoAway(..) => return all,
                _ => {}
            }
        }
    };
    let ((), received) = tokio::join!(writes, reads);
    assert!(received == sent, "{} of {}", received.len(), sent.len());
}

#[tokio::test]
async fn text_protocols_are_spoken_in_base64() {
    let (_node, client) = Node::with_pod().await;
    let path = sh("head -c 3; echo; exit 2", "input=1&output=1");
    let mut socket = WebSocket::connect(&client, &path, "v4.base64.channel.k8s.io")
        .await
        .unwrap();
    assert_eq!(socket.message().await, Some(Message::text("1")));
    socket.stream.send(Message::text("0YWJj")).await.unwrap();
    let mut texts = String::new();
    while let Some(message) = socket.message().await {
        match message {
            Message::Text(text) => texts += &format!("{text} "),
            _ => break,
        }
    }
    assert!(
        texts.starts_with("1YWJj 1Cg== 3") || texts.starts_with("1YWJjCg== 3"),
        "{texts}"
    );
}

#[tokio::test]
async fn old_versions_are_told_in_words() {
    let (_node, client) = Node::with_pod().await;
    let path = sh("exit 3", "output=1");
    for (version, words) in [
        (
            "v3.channel.k8s.io",
            "command terminated with non-zero exit code: exit status 3",
        ),
        (
            "v2.channel.k8s.io, v4.channel.k8s.io",
            "command terminated with non-zero exit code: exit status 3",
        ),
    ] {
        let mut spdy = Spdy::connect(&client, &path, version).await;
        let error = spdy.stream("error").await;
        spdy.stream("stdout").await;
        assert_eq!(spdy.rest().await.0[&error], words, "{version}");
    }
    let mut socket = WebSocket::connect(&client, &path, "").await.unwrap();
    assert_eq!(socket.protocol, None);
    let (texts, _) = socket.rest().await;
    assert_eq!(texts[&3], "command terminated with non-zero exit code: exit status 3");
}

#[tokio::test]
async fn a_terminal_learns_its_size() {
    let (_node, client) = Node::with_pod().await;
    // With a terminal there is no second output, whatever is asked for.
    let path = "/exec/ns/p/c?command=sh&input=1&output=1&error=1&tty=1";
    let (mut spdy, ids) = spdy(&client, path, &["error", "stdin", "stdout", "resize"]).await;
    spdy.data(ids[3], br#"{"Width":132,"Height":43}"#, false).await;
    assert_eq!(
        spdy.frame().await,
        Some(Frame::Data {
            id: ids[2],
            last: false,
            bytes: b"132x43\n".to_vec()
        })
    );
    spdy.data(ids[1], b"x", true).await;
    assert!(spdy.rest().await.0[&ids[0]].contains("Success"));

    let mut socket = WebSocket::connect(&client, path, V4).await.unwrap();
    socket.message().await.unwrap();
    socket.send(4, br#"{"Width":80,"Height":24}"#).await;
    assert_eq!(
        socket.message().await,
        Some(Message::Binary([&[1][..], b"80x24\n"].concat().into()))
    );
}

#[tokio::test]
async fn when_the_client_goes_the_process_goes() {
    let (node, client) = Node::with_pod().await;
    let path = sh("exec sleep 1000", "input=1&output=1");
    let (mut gone, _) = spdy(&client, &path, &["error", "stdin", "stdout"]).await;
    let (stalled, ids) = spdy(&client, &path, &["error", "stdin", "stdout"]).await;
    let mut socket = WebSocket::connect(&client, &path, V5).await.unwrap();
    let polite = WebSocket::connect(&client, &path, V4).await.unwrap();
    node.here.until_open(4).await;
    gone.go_away().await;
    node.here.until_open(3).await;
    socket.stream.close(None).await.unwrap();
    node.here.until_open(2).await;
    drop(polite);
    node.here.until_open(1).await;
    // Its input is not read: what it sends piles up on the way, and then it is gone.
    let mut stalled = stalled.stream;
    let piece = common::spdy::data(ids[1], &vec![0; 1 << 20], false);
    let much = async {
        loop {
            tokio::io::AsyncWriteExt::write_all(&mut stalled, &piece).await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(2), much).await.is_err());
    tokio::time::pause();
    drop(stalled);
    let mut open = node.here.open.subscribe();
    let none = tokio::time::timeout(Duration::from_secs(600), open.wait_for(|open| *open == 0));
    none.await.unwrap().unwrap();
}

#[tokio::test]
async fn what_becomes_of_a_process_is_always_told() {
    let (node, client) = Node::with_pod().await;
    let path = "/exec/ns/p/c?command=lost&output=1";
    let (mut spdy, ids) = spdy(&client, path, &["error", "stdout"]).await;
    let (texts, _, _) = spdy.rest().await;
    assert_eq!(texts[&ids[1]], "before");
    let told = status(&texts[&ids[0]]);
    assert_eq!(
        told["message"],
        "Internal error occurred: error executing command in container: the link was lost"
    );
    assert_eq!((&told["reason"], &told["code"]), (&json!("InternalError"), &json!(500)));

    node.here.fail("it does not run any more");
    let mut socket = WebSocket::connect(&client, path, V4).await.unwrap();
    let told = status(&socket.rest().await.0[&3]);
    assert_eq!(
        told["details"]["causes"][0]["message"],
        "error executing command in container: it does not run any more"
    );
}

#[tokio::test]
async fn a_signal_and_a_child_that_stays_behind() {
    let (_node, client) = Node::with_pod().await;
    let (mut killed, ids) = spdy(&client, &sh("kill -9 $$", "output=1"), &["error", "stdout"]).await;
    assert_eq!(status(&killed.rest().await.0[&ids[0]]), code(137));
    // It holds the output open long after the command's end.
    let (mut left, ids) = spdy(&client, &sh("sleep 100 & echo done", "output=1"), &["error", "stdout"]).await;
    let (texts, _, _) = left.rest().await;
    assert_eq!(texts[&ids[1]], "done\n");
    assert!(texts[&ids[0]].contains("Success"));
}

#[tokio::test]
async fn attaching_has_the_containers_own_terminal_and_no_exit_code() {
    let (node, client) = Node::with_pod().await;
    let (mut attached, ids) = spdy(
        &client,
        "/attach/ns/p/c?output=1&error=1",
        &["error", "stdout", "stderr"],
    )
    .await;
    let (texts, _, _) = attached.rest().await;
    assert_eq!(texts[&ids[1]], "attached");
    assert!(texts[&ids[0]].contains("Success"), "whatever its code is");
    let mut socket = WebSocket::connect(&client, "/attach/ns/p/u-1/t?output=1&error=1&input=1", V4)
        .await
        .unwrap();
    socket.rest().await;
    assert_eq!(
        node.here.asked(),
        [
            "attach c Streams { stdin: false, stdout: true, stderr: true, tty: false }",
            "attach t Streams { stdin: true, stdout: true, stderr: false, tty: true }",
        ]
    );
}

#[tokio::test]
async fn streams_that_are_not_wanted_are_refused_and_those_that_do_not_come_are_not_waited_for() {
    let (node, client) = Node::with_pod().await;
    let path = sh("true", "output=1");
    let mut slow = Spdy::connect(&client, &path, V4).await;
    let error = slow.stream("error").await;
    for kind in ["stdin", "error", "resize", "", "STDOUT"] {
        let id = slow.open(&[("streamtype", kind)]).await;
        assert_eq!(slow.frame().await, Some(Frame::Reset(id, 3)), "{kind}");
    }
    tokio::time::pause();
    let (texts, _, _) = slow.rest().await;
    assert!(texts[&error].contains("not opened its streams in time"), "{texts:?}");
    assert_eq!(node.here.asked(), [""; 0]);
}

#[tokio::test]
async fn pings_are_answered_and_nothing_is_said_of_windows() {
    let (_node, client) = Node::with_pod().await;
    let (mut spdy, ids) = spdy(&client, &sh("cat", "input=1&output=1"), &["error", "stdin", "stdout"]).await;
    spdy.ping(1).await;
    spdy.control(9, 0, &[0, 0, 0, 1, 0, 0, 1, 0]).await;
    spdy.control(4, 0, &[0; 4]).await;
    spdy.control(200, 0, b"unknown").await;
    spdy.ping(2).await;
    spdy.ping(0x7fff_ffff).await;
    assert_eq!(spdy.frame().await, Some(Frame::Ping(1)));
    assert_eq!(spdy.frame().await, Some(Frame::Ping(0x7fff_ffff)));
    // Headers that come later change nothing, and have to be unpacked all the same.
    let packed = spdy.pack(&[("a", "b")]);
    let later = [&ids[1].to_be_bytes()[..], &packed].concat();
    spdy.control(8, 0, &later).await;
    let packed = spdy.pack(&[]);
    let finish = [&ids[1].to_be_bytes()[..], &packed].concat();
    spdy.control(8, 1, &finish).await;
    assert!(spdy.rest().await.0[&ids[0]].contains("Success"));
}

#[tokio::test]
async fn refusals_have_the_kubelets_codes_and_words() {
    let (_node, client) = Node::with_pod().await;
    let upgraded = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", V4),
    ];
    for (path, code, words) in [
        (
            "/exec/ns/p/c?command=x",
            400,
            "you must specify at least 1 of stdin, stdout, stderr",
        ),
        (
            "/exec/ns/p/c?output=1&command=x&error=true&input=true&output=2",
            101,
            "",
        ),
        ("/exec/ns/q/c?output=1", 404, "pod does not exist"),
        ("/exec/other/p/c?output=1", 404, "pod does not exist"),
        ("/exec/ns/p/x?output=1", 500, "container not found (\"x\")"),
        ("/exec/ns/p/w?output=1", 500, "container not found (\"w\")"),
        ("/exec/ns/p/u-2/c?output=1", 500, "container not found (\"c\")"),
        ("/attach/ns/p/w?output=1", 500, "container w not found in pod p_ns"),
        ("/attach/ns/q/c?output=1", 404, "pod does not exist"),
        ("/exec/ns/p?output=1", 404, "404: Page Not Found"),
    ] {
        let answer = upgrade(&client, "POST", path, &upgraded).await;
        if code == 101 {
            assert_eq!(answer.status, 101, "{path}");
            continue;
        }
        assert_eq!(answer.words().await, (code, words.to_owned()), "{path}");
    }
    let path = "/exec/ns/p/c?output=1&command=x";
    assert_eq!(client.get(path).await.status, 500);
    assert_eq!(client.get(path).await.text, "Upgrade request required\n");
    let headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")];
    assert_eq!(upgrade(&client, "POST", path, &headers).await.status, 400);
    let headers = [&headers[..], &[("X-Stream-Protocol-Version", "v9, v8")]].concat();
    let refused = upgrade(&client, "POST", path, &headers).await;
    assert!(refused.headers.contains_key("x-accepted-stream-protocol-versions"));
    let (code, words) = refused.words().await;
    assert_eq!(code, 403);
    assert!(
        words.contains("unable to negotiate protocol: client supports [v9 v8]"),
        "{words}"
    );
    let headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "h2c"),
        ("X-Stream-Protocol-Version", V4),
    ];
    assert_eq!(upgrade(&client, "POST", path, &headers).await.status, 400);
    assert_eq!(WebSocket::connect(&client, path, "v9").await.err(), Some(403));
    let socket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", "x"),
    ];
    assert_eq!(
        upgrade(&client, "GET", path, &socket).await.headers["sec-websocket-version"],
        "13"
    );
    let keyless = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
    ];
    assert_eq!(upgrade(&client, "GET", path, &keyless).await.status, 400);
    assert_eq!(upgrade(&client, "POST", path, &socket).await.status, 405);
    assert_eq!(upgrade(&client, "DELETE", path, &[]).await.status, 403);
}

#[tokio::test]
async fn a_command_can_be_run_for_its_output() {
    let (node, client) = Node::with_pod().await;
    let post = async |path: &str| {
        let answer = client.send(Method::POST, path, None).await.unwrap();
        let answer = read(answer).await;
        (answer.status.as_u16(), answer.text)
    };
    assert_eq!(post("/run/ns/p/c?cmd=echo+a+b").await, (200, "a b\n".to_owned()));
    assert_eq!(post("/run/ns/p/u-1/c?cmd=echo").await, (200, "\n".to_owned()));
    let (code, words) = post("/run/ns/p/c?cmd=false").await;
    assert_eq!(
        (code, words.as_str()),
        (500, "command 'false' ended with exit code 1: ")
    );
    assert_eq!(
        post("/run/ns/q/c?cmd=true").await,
        (404, "pod does not exist".to_owned())
    );
    assert_eq!(
        post("/run/ns/p/w?cmd=true").await,
        (500, "container not found (\"w\")".to_owned())
    );
    assert_eq!(post("/run/ns/p/c?cmd=head+-c+20000000+/dev/zero").await.0, 500);
    assert_eq!(client.get("/run/ns/p/c?cmd=true").await.status, 405);
    // A client that leaves ends it.
    let mut sender = client.open().await.unwrap();
    let path = "/run/ns/p/c?cmd=sleep+1000";
    let running = tokio::spawn(async move { sender.send_request(request(Method::POST, path, None)).await });
    node.here.until_open(1).await;
    running.abort();
    node.here.until_open(0).await;
}

#[tokio::test]
async fn a_checkpoint_is_refused_with_the_reason() {
    let (node, client) = Node::with_pod().await;
    node.api.allow("apiserver", "create", "checkpoint");
    for (path, expected, words) in [
        (
            "/checkpoint/ns/p/c",
            500,
            "checkpointing of ns/p/c failed (containers in a batch job cannot be checkpointed)",
        ),
        ("/checkpoint/ns/p/x", 404, "container x does not exist"),
        ("/checkpoint/ns/q/c", 404, "pod does not exist"),
    ] {
        let answer = read(client.send(Method::POST, path, None).await.unwrap()).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (expected, words));
    }
}

#[tokio::test]
async fn the_configuration_says_how_this_is_served() {
    let (node, client) = Node::with_pod().await;
    let answer: Value = serde_json::from_str(&client.get("/configz").await.text).unwrap();
    let config = &answer["kubeletconfig"];
    assert_eq!(config["authentication"]["anonymous"]["enabled"], false);
    assert_eq!(config["authentication"]["webhook"]["cacheTTL"], "120s");
    assert_eq!(config["streamingConnectionIdleTimeout"], "14400s");
    assert_eq!(config["port"], node.serving.address.port());
}

#[tokio::test]
async fn when_the_node_ends_clients_are_told_and_processes_end() {
    let (node, client) = Node::with_pod().await;
    let path = sh("sleep 1000", "output=1");
    let (mut spdy, ids) = spdy(&client, &path, &["error", "stdout"]).await;
    let mut socket = WebSocket::connect(&client, &path, V4).await.unwrap();
    node.here.until_open(2).await;
    node.cancel.cancel();
    assert!(spdy.rest().await.0[&ids[0]].contains("the node ends"));
    assert!(socket.rest().await.0[&3].contains("the node ends"));
    node.here.until_open(0).await;
    tokio::time::timeout(Duration::from_secs(20), node.serving.task)
        .await
        .unwrap()
        .unwrap();
}
