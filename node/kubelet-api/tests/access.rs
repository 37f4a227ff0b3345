//! Who may ask for what: over real TLS, with an API server that is asked.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::Duration;

use common::client::{read, request};
use common::logs::{Memory, none};
use common::pki::Ca;
use common::spdy::upgrade;
use common::{NODE, Node};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATHS: [&str; 23] = [
    "/",
    "/healthz",
    "/healthz/ping",
    "/pods",
    "/runningpods/",
    "/containerLogs/ns/p/c",
    "/exec/ns/p/c",
    "/exec/ns/p/u/c",
    "/attach/ns/p/c",
    "/attach/ns/p/u/c",
    "/run/ns/p/c",
    "/run/ns/p/u/c",
    "/portForward/ns/p",
    "/portForward/ns/p/u",
    "/checkpoint/ns/p/c",
    "/configz",
    "/metrics/cadvisor",
    "/metrics",
    "/metrics/resource",
    "/metrics/probes",
    "/stats/summary",
    "/logs/",
    "/nosuch",
];

#[tokio::test]
async fn nobody_is_anonymous_on_any_path_in_any_configuration() {
    let with_ca = Node::start(none()).await;
    let without_ca = Node::start_with(none(), Ca::new("clients"), None).await.unwrap();
    for node in [&with_ca, &without_ca] {
        let client = node.stranger();
        for path in PATHS {
            for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS, Method::PUT] {
                let answer = client.send(method.clone(), path, None).await.unwrap();
                assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            }
            let answer = client.get_with(path, "unknown").await;
            assert_eq!(
                (answer.status.as_u16(), answer.text.as_str()),
                (401, "Unauthorized"),
                "{path}"
            );
        }
        // Even if the API server would allow it to somebody without a name.
        node.api.allow("", "get", "proxy");
        node.api.allow("system:anonymous", "get", "proxy");
        assert_eq!(client.get("/containerLogs/ns/p/c").await.status, 401);
        let accesses = node.api.reviews();
        assert!(
            accesses.iter().all(|review| review["kind"] == "TokenReview"),
            "{accesses:?}"
        );
    }
}

#[tokio::test]
async fn somebody_who_may_nothing_is_forbidden_every_path() {
    let node = Node::start(none()).await;
    let client = node.with_certificate(node.clients.client("eve", &[]));
    for path in PATHS {
        let answer = client.get(path).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(
        client.get("/containerLogs/ns/p/c").await.text,
        "Forbidden (user=eve, verb=get, resource=nodes, subresource(s)=[proxy])\n"
    );
    assert_eq!(
        client.get("/pods").await.text,
        "Forbidden (user=eve, verb=get, resource=nodes, subresource(s)=[pods proxy])\n"
    );
}

#[tokio::test]
async fn no_other_protocol_is_spoken_with_somebody_who_may_not_ask() {
    let (node, _) = Node::with_pod().await;
    let spdy = [
        ("Connection", "Upgrade"),
        ("Upgrade", "SPDY/3.1"),
        ("X-Stream-Protocol-Version", "v4.channel.k8s.io, portforward.k8s.io"),
    ];
    let websocket = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let eve = node.with_certificate(node.clients.client("eve", &[]));
    let path = "/exec/ns/p/c?command=true&output=1";
    for path in PATHS.iter().chain([&path, &"/portForward/ns/p?port=80"]) {
        for (method, headers) in [
            ("POST", &spdy[..]),
            ("GET", &spdy),
            ("GET", &websocket),
            ("POST", &websocket),
        ] {
            assert_eq!(
                upgrade(&node.stranger(), method, path, headers).await.status,
                401,
                "{path}"
            );
            assert_eq!(upgrade(&eve, method, path, headers).await.status, 403, "{path}");
        }
    }
    // As with a kubelet the verb is that of the method.
    let jane = node.with_certificate(node.clients.client("jane", &[]));
    node.api.allow("jane", "get", "proxy");
    assert_eq!(upgrade(&jane, "POST", path, &spdy).await.status, 403);
    assert!(node.here.asked().is_empty());
    assert_eq!(upgrade(&jane, "GET", path, &websocket).await.status, 101);
}

#[tokio::test]
async fn a_client_certificate_is_a_user_with_groups() {
    let node = Node::start(none()).await;
    node.api.allow("apiserver", "get", "proxy");
    let client = node.with_certificate(node.clients.client("apiserver", &["masters", "others"]));
    let answer = client.get("/containerLogs/ns/p/c").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text.as_str()),
        (404, "pod \"p\" does not exist")
    );
    let reviews = node.api.reviews();
    assert_eq!(reviews.len(), 1);
    let spec = &reviews[0]["spec"];
    assert_eq!(spec["user"], "apiserver");
    assert_eq!(spec["groups"], json!(["masters", "others", "system:authenticated"]));
    assert_eq!(
        spec["resourceAttributes"],
        json!({"verb": "get", "version": "v1", "resource": "nodes", "subresource": "proxy", "name": NODE})
    );
}

#[tokio::test]
async fn a_certificate_beats_a_token() {
    let node = Node::start(none()).await;
    node.api.token("t", json!({"username": "token-user"}));
    let client = node.with_certificate(node.clients.client("cert-user", &[]));
    let answer = client.get_with("/nosuch", "t").await;
    assert!(answer.text.contains("user=cert-user"), "{}", answer.text);
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused() {
    let node = Node::start(none()).await;
    node.api.allow("apiserver", "get", "proxy");
    let foreign = Ca::new("clients");
    for (identity, why) in [
        (foreign.client("apiserver", &[]), "of another CA with the same name"),
        (node.clients.expired_client("apiserver"), "expired"),
        (node.clients.server("apiserver"), "not for clients"),
    ] {
        let answer = node.with_certificate(identity).send(Method::GET, "/nosuch", None).await;
        assert!(answer.is_err(), "{why}: {answer:?}");
    }
    let nameless = node.with_certificate(node.clients.client("", &["system:masters"]));
    assert_eq!(nameless.get("/nosuch").await.status, 401);
}

#[tokio::test]
async fn without_a_client_ca_a_certificate_says_nothing() {
    let clients = Ca::new("clients");
    let identity = clients.client("apiserver", &["system:masters"]);
    let node = Node::start_with(none(), clients, None).await.unwrap();
    node.api.allow("apiserver", "get", "proxy");
    assert_eq!(node.with_certificate(identity).get("/nosuch").await.status, 401);
    node.api.token("t", json!({"username": "apiserver"}));
    assert_eq!(node.stranger().get_with("/nosuch", "t").await.status, 404);
}

#[tokio::test]
async fn a_client_ca_without_certificates_is_no_configuration() {
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let result = Node::start_with(none(), Ca::new("clients"), Some(pem.as_bytes().to_vec())).await;
        assert!(result.is_err(), "{pem:?}");
    }
}

#[tokio::test]
async fn a_token_is_asked_about_once_and_then_known() {
    let node = Node::start(none()).await;
    let user = json!({
        "username": "system:serviceaccount:mon:metrics", "uid": "7", "groups": ["a"],
        "extra": {"authentication.kubernetes.io/pod-name": ["m-0"]},
    });
    node.api.token("good", user);
    node.api.allow("system:serviceaccount:mon:metrics", "get", "metrics");
    for _ in 0..3 {
        // Allowed, and not served yet.
        assert_eq!(node.stranger().get_with("/metrics/resource", "good").await.status, 200);
        assert_eq!(node.stranger().get_with("/metrics/resource", "bad").await.status, 401);
    }
    let reviews = node.api.reviews();
    let kinds: Vec<_> = reviews.iter().map(|review| review["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["TokenReview", "SubjectAccessReview", "TokenReview"]);
    assert_eq!(reviews[0]["spec"], json!({"token": "good"}));
    let spec = &reviews[1]["spec"];
    assert_eq!(
        (&spec["uid"], &spec["groups"]),
        (&json!("7"), &json!(["a", "system:authenticated"]))
    );
    assert_eq!(spec["extra"]["authentication.kubernetes.io/pod-name"], json!(["m-0"]));
    // What is allowed for metrics is not allowed for logs.
    assert_eq!(
        node.stranger().get_with("/containerLogs/ns/p/c", "good").await.status,
        403
    );
}

#[tokio::test]
async fn either_subresource_is_enough_and_yes_and_no_are_remembered() {
    let node = Node::start(none()).await;
    let client = node.with_certificate(node.clients.client("jane", &[]));
    assert_eq!(client.get("/healthz").await.status, 403);
    assert_eq!(node.api.reviews().len(), 2);
    node.api.allow("jane", "get", "healthz");
    node.api.allow("jane", "get", "pods");
    assert_eq!(client.get("/healthz").await.status, 403, "a no holds for a while");
    assert_eq!(client.get("/pods").await.status, 200);
    assert_eq!(node.api.reviews().len(), 1);
    node.api.forbid_everything();
    assert_eq!(client.get("/runningpods/").await.status, 200, "a yes holds for a while");
    let answer = client.send(Method::POST, "/pods", None).await.unwrap();
    assert_eq!(answer.status(), 403, "another verb is another question");

    let other = node.with_certificate(node.clients.client("joe", &[]));
    node.api.allow("joe", "get", "proxy");
    let answer = other.get("/healthz").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "ok"));
}

#[tokio::test]
async fn an_api_server_that_does_not_answer_lets_nobody_in() {
    let node = Node::start(none()).await;
    node.api.down(true);
    assert_eq!(node.stranger().get_with("/healthz", "t").await.status, 401);
    let client = node.with_certificate(node.clients.client("jane", &[]));
    let answer = client.get("/containerLogs/ns/p/c").await;
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.text,
        "Authorization error (user=jane, verb=get, resource=nodes, subresource=proxy)"
    );
    // Nothing of that is remembered.
    node.api.down(false);
    node.api.token("t", json!({"username": "jane"}));
    node.api.allow("jane", "get", "proxy");
    assert_eq!(node.stranger().get_with("/healthz", "t").await.status, 200);
    assert_eq!(client.get("/containerLogs/ns/p/c").await.status, 404);
}

#[tokio::test]
async fn each_request_of_a_connection_is_admitted_by_itself() {
    let node = Node::start(none()).await;
    node.api.token("t", json!({"username": "jane"}));
    node.api.allow("jane", "get", "proxy");
    let mut sender = node.stranger().open().await.unwrap();
    for (token, status) in [(Some("t"), 200), (None, 401), (Some("x"), 401), (Some("t"), 200)] {
        sender.ready().await.unwrap();
        let answer = sender
            .send_request(request(Method::GET, "/healthz", token))
            .await
            .unwrap();
        assert_eq!(read(answer).await.status, status, "{token:?}");
    }
}

#[tokio::test]
async fn only_tls_and_only_http_1_is_spoken() {
    let node = Node::start(none()).await;
    let mut plain = TcpStream::connect(node.serving.address).await.unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: node\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");

    assert!(node.stranger().speaking(b"h2").connect().await.is_err());
    let stream = node.stranger().speaking(b"http/1.1").connect().await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[tokio::test]
async fn what_is_not_served_is_said_to_those_who_may_ask() {
    let node = Node::start(none()).await;
    let client = node.apiserver();
    for path in [
        "/exec/ns/p",
        "/attach/ns",
        "/portForward/ns",
        "/",
        "/containerLogs/ns/p",
    ] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
    let answer = client.send(Method::POST, "/containerLogs/ns/p/c", None).await.unwrap();
    assert_eq!(answer.status(), 405);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let node = Node::start(none()).await;
    let mut sender = node.stranger().open().await.unwrap();
    let answer = sender
        .send_request(request(Method::GET, "/pods", Some(&"x".repeat(200_000))))
        .await;
    assert_eq!(answer.unwrap().status(), 431);
    assert!(node.api.reviews().is_empty());
}

#[tokio::test]
async fn the_server_ends_when_it_is_told_to() {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let memory = std::sync::Arc::new(Memory::new("a\n", &[]));
    *memory.follows.lock().unwrap() = Some(receiver);
    let node = Node::start(memory).await;
    let idle = node.stranger().connect().await.unwrap();
    let silent = TcpStream::connect(node.serving.address).await.unwrap();
    node.cancel.cancel();
    tokio::time::timeout(Duration::from_secs(20), node.serving.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(node.serving.address).await.is_err());
    drop((idle, silent, sender));
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let node = Node::start(none()).await;
    let mut before_tls = TcpStream::connect(node.serving.address).await.unwrap();
    let mut half_a_head = node.stranger().connect().await.unwrap();
    half_a_head
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: no")
        .await
        .unwrap();
    half_a_head.flush().await.unwrap();
    // Time passes as soon as everybody waits.
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let _ = before_tls.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
    let _ = half_a_head.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
    assert!(start.elapsed() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_client_that_says_little_and_often_is_not_waited_for_either() {
    let node = Node::start(none()).await;
    let mut slow = node.stranger().connect().await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\n").await.unwrap();
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    loop {
        let mut answer = [0; 1024];
        match tokio::time::timeout(Duration::from_secs(1), slow.read(&mut answer)).await {
            Err(_) if slow.write_all(b"X: y\r\n").await.is_ok() && slow.flush().await.is_ok() => {}
            Ok(Ok(read @ 1..)) => assert!(!answer[..read].starts_with(b"HTTP/1.1 200")),
            _ => break,
        }
        assert!(start.elapsed() < Duration::from_secs(60), "it is still listened to");
    }
    assert!(start.elapsed() > Duration::from_secs(20), "half a minute it may take");
}

#[tokio::test]
async fn there_is_an_end_to_how_many_are_served_at_once() {
    let node = Node::start(none()).await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(TcpStream::connect(node.serving.address).await.unwrap());
    }
    let client = node.apiserver();
    let mut asked = std::pin::pin!(client.get("/healthz"));
    assert!(
        tokio::time::timeout(Duration::from_millis(500), asked.as_mut())
            .await
            .is_err()
    );
    silent.truncate(999);
    assert_eq!(asked.await.status, 200);
}
