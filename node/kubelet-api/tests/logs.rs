//! What is sent of a log, over real TLS, from logs in memory.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::client::{Answer, piece, read};
use common::logs::Memory;
use common::{Node, client};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use towline_cluster::{Error, LogRange, LogStart};

fn pod(name: &str, container: Value) -> Pod {
    let mut status = json!({"name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0});
    status
        .as_object_mut()
        .unwrap()
        .extend(container.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "ns", "uid": "u"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"containerStatuses": [status]},
    }))
    .unwrap()
}

fn running() -> Value {
    json!({"state": {"running": {}}, "containerID": "towline://u-c-0"})
}

async fn node(memory: Arc<Memory>) -> (Node, client::Client) {
    let node = Node::start(memory).await;
    node.pods.put(pod("p", running()));
    let client = node.apiserver();
    (node, client)
}

async fn get(memory: &Arc<Memory>, query: &str) -> Answer {
    let (_node, client) = node(Arc::clone(memory)).await;
    client.get(&format!("/containerLogs/ns/p/c?{query}")).await
}

#[tokio::test]
async fn the_parts_of_a_log_that_can_be_asked_for() {
    let text = "one\ntwo\nthree\nfour";
    let memory = Arc::new(Memory::new(text, &[(100, 0), (101, 4), (105, 10), (110, 18)]));
    let s = |second: u8| format!("1970-01-01T00:01:{:02}.000000000Z ", second - 60);
    for (query, expected) in [
        ("", text.to_owned()),
        ("follow=true", text.to_owned()),
        ("tailLines=0", String::new()),
        ("tailLines=1", "four".to_owned()),
        ("tailLines=2", "three\nfour".to_owned()),
        ("tailLines=4", text.to_owned()),
        ("tailLines=9223372036854775807", text.to_owned()),
        ("limitBytes=5", "one\nt".to_owned()),
        ("limitBytes=9223372036854775807", text.to_owned()),
        ("tailLines=2&limitBytes=3", "thr".to_owned()),
        // At 105 s `three` was begun: it is shown whole.
        ("sinceTime=1970-01-01T00:01:47Z", "three\nfour".to_owned()),
        ("sinceTime=1970-01-01T00:01:43Z", "two\nthree\nfour".to_owned()),
        ("sinceTime=1970-01-01T00:00:00Z", text.to_owned()),
        ("sinceSeconds=9223372036854775807", text.to_owned()),
        // Everything is old: what goes on at the end may be new.
        ("sinceSeconds=60", "four".to_owned()),
        ("sinceTime=1970-01-01T00:01:43Z&tailLines=1", "four".to_owned()),
        ("sinceTime=1970-01-01T00:01:47Z&tailLines=3", "three\nfour".to_owned()),
        (
            "sinceTime=1970-01-01T00:01:47Z&tailLines=3&limitBytes=2",
            "th".to_owned(),
        ),
        (
            "timestamps=true",
            format!("{}one\n{}two\n{}three\n{}four", s(101), s(105), s(105), s(110)),
        ),
        ("timestamps=true&tailLines=1", format!("{}four", s(110))),
        ("timestamps=true&tailLines=0", String::new()),
        (
            "timestamps=true&sinceTime=1970-01-01T00:01:47Z&tailLines=9",
            format!("{}three\n{}four", s(105), s(110)),
        ),
        ("timestamps=true&tailLines=2&limitBytes=34", format!("{}thr", s(105))),
    ] {
        let answer = get(&memory, query).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text, answer.whole),
            (200, expected, true),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_long_log_is_not_read_whole_for_its_end() {
    let mut text = "x".repeat(99);
    text.push('\n');
    let text = text.repeat(20_000);
    let size = text.len() as u64;
    let memory = Arc::new(Memory::new(text, &[(100, 0), (200, 1_000_050), (300, size)]));
    let answer = get(&memory, "timestamps=true&tailLines=1000").await;
    assert_eq!(answer.text.lines().count(), 1000);
    assert!(answer.text.starts_with("1970-01-01T00:05:00.000000000Z xx"));
    let read = |memory: &Memory| -> u64 {
        let opened = std::mem::take(&mut *memory.opened.lock().unwrap());
        opened.iter().filter_map(|range| range.length).sum()
    };
    assert!(read(&memory) < 700_000);
    // The line that was being written then is shown whole.
    let answer = get(&memory, "sinceTime=1970-01-01T00:04:00Z").await;
    assert_eq!(answer.text.len(), 1_000_000);
    assert!(read(&memory) <= 64 << 10);
}

#[tokio::test]
async fn a_request_that_cannot_be_honoured_has_the_kubelets_status() {
    let memory = Arc::new(Memory::new("a\n", &[]));
    for (query, status, words) in [
        ("tailLines=x", 400, r#"{"message": "Unable to decode query."}"#),
        ("sinceTime=now", 400, r#"{"message": "Unable to decode query."}"#),
        ("tailLines=-1", 422, r#"{"message": "Invalid request."}"#),
        ("limitBytes=0", 422, r#"{"message": "Invalid request."}"#),
        ("sinceSeconds=0", 422, r#"{"message": "Invalid request."}"#),
        (
            "previous=true",
            400,
            "previous terminated container \"c\" in pod \"p\" not found",
        ),
    ] {
        let answer = get(&memory, query).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (status, words),
            "{query}"
        );
    }
    assert!(memory.opened.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    let (node, client) = node(Arc::new(Memory::new("a\n", &[]))).await;
    node.pods.put(pod(
        "new",
        json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
    ));
    for (path, status, words) in [
        ("ns/x/c", 404, "pod \"x\" does not exist"),
        ("other/p/c", 404, "pod \"p\" does not exist"),
        ("ns/p/x", 404, "container \"x\" not found in pod \"p\""),
        (
            "ns/new/c",
            400,
            "container \"c\" in pod \"new\" is waiting to start: ContainerCreating",
        ),
    ] {
        let answer = client.get(&format!("/containerLogs/{path}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text.as_str()),
            (status, words),
            "{path}"
        );
    }
}

#[tokio::test]
async fn previous_is_the_run_before() {
    let memory = Arc::new(Memory::new("a\n", &[]));
    let (node, client) = node(Arc::clone(&memory)).await;
    node.pods.put(pod(
        "p",
        json!({
            "state": {"running": {}}, "containerID": "towline://u-c-3",
            "lastState": {"terminated": {"exitCode": 1, "containerID": "towline://u-c-2"}},
        }),
    ));
    client.get("/containerLogs/ns/p/c?previous=true").await;
    client.get("/containerLogs/ns/p/c").await;
    let runs: Vec<i64> = memory.opened.lock().unwrap().iter().map(|range| range.run).collect();
    assert_eq!(runs, [2, 3]);
}

#[tokio::test]
async fn a_cluster_out_of_reach_and_a_log_that_is_gone_are_said_in_words() {
    for (fails, status, words) in [
        (
            0,
            502,
            "failed to get the log of container \"c\" in pod \"p\": failed to connect to login: no route to host",
        ),
        (66, 400, "unable to retrieve container logs for towline://u-c-0"),
    ] {
        let memory = Arc::new(Memory {
            fails: Some(fails),
            ..Memory::default()
        });
        let answer = get(&memory, "").await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (status, words));
    }
    let memory = Arc::new(Memory {
        fails: Some(70),
        ..Memory::default()
    });
    let answer = get(&memory, "follow=true").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text.contains("the script ended with"), "{}", answer.text);
}

fn following() -> (Arc<Memory>, mpsc::Sender<Result<Bytes, Error>>) {
    let (sender, receiver) = mpsc::channel(1);
    let memory = Memory {
        ended: false,
        ..Memory::new("a\n", &[(100, 0), (101, 2)])
    };
    *memory.follows.lock().unwrap() = Some(receiver);
    (Arc::new(memory), sender)
}

#[tokio::test]
async fn a_log_that_is_followed_comes_piece_by_piece() {
    let (memory, sender) = following();
    let (_node, client) = node(memory).await;
    // The head is there before the container says anything.
    let answer = client
        .send(Method::GET, "/containerLogs/ns/p/c?follow=true&tailLines=0", None)
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    for text in ["b", "c\nd", "\n"] {
        sender.send(Ok(Bytes::from(text))).await.unwrap();
        assert_eq!(piece(&mut body).await.unwrap().unwrap(), text);
    }
    drop(sender);
    assert!(piece(&mut body).await.is_none());
}

#[tokio::test]
async fn lines_that_are_followed_have_the_time_at_which_they_came() {
    let (memory, sender) = following();
    let (_node, client) = node(memory).await;
    let before = jiff::Timestamp::now().as_second();
    let answer = client
        .send(Method::GET, "/containerLogs/ns/p/c?follow=true&timestamps=true", None)
        .await
        .unwrap();
    let mut body = answer.into_body();
    assert_eq!(
        piece(&mut body).await.unwrap().unwrap(),
        "1970-01-01T00:01:41.000000000Z a\n"
    );
    sender.send(Ok(Bytes::from("b\n"))).await.unwrap();
    let line = piece(&mut body).await.unwrap().unwrap();
    let (time, rest) = line.split_once(' ').unwrap();
    let time: jiff::Timestamp = time.parse().unwrap();
    assert!(before <= time.as_second() && time <= jiff::Timestamp::now(), "{line}");
    assert_eq!(rest, "b\n");
}

#[tokio::test]
async fn a_lost_link_is_no_clean_end() {
    let (memory, sender) = following();
    let (_node, client) = node(memory).await;
    let answer = client
        .send(Method::GET, "/containerLogs/ns/p/c?follow=true", None)
        .await
        .unwrap();
    let lost = towline_ssh::Error::OutcomeUnknown {
        host: "login".to_owned(),
        what: "`pod/log`".to_owned(),
        why: "the link was lost".to_owned(),
    };
    sender.send(Ok(Bytes::from("half"))).await.unwrap();
    sender.send(Err(lost.into())).await.unwrap();
    let answer = read(answer).await;
    assert!(!answer.whole);
    let words =
        "a\nhalf\ntowline: the log was cut here: the outcome of `pod/log` on login is unknown: the link was lost\n";
    assert_eq!(answer.text, words);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_reading() {
    let (memory, sender) = following();
    let (_node, client) = node(Arc::clone(&memory)).await;
    let mut open = memory.open.subscribe();
    let answer = client
        .send(Method::GET, "/containerLogs/ns/p/c?follow=true", None)
        .await
        .unwrap();
    open.wait_for(|open| *open == 1).await.unwrap();
    let mut body = answer.into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "a\n");
    drop(body);
    // Without a further byte of the log.
    open.wait_for(|open| *open == 0).await.unwrap();
    assert!(sender.is_closed());
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for_without_end() {
    let (memory, sender) = following();
    let (_node, client) = node(Arc::clone(&memory)).await;
    let answer = client
        .send(Method::GET, "/containerLogs/ns/p/c?follow=true", None)
        .await
        .unwrap();
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    // Until nothing more is taken, by either side's kernel neither.
    while let Ok(sent) = tokio::time::timeout(Duration::from_secs(2), sender.send(Ok(piece.clone()))).await {
        sent.unwrap();
    }
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    sender.closed().await;
    let hours = start.elapsed().as_secs_f64() / 3600.0;
    assert!(hours > 3.9 && hours < 4.1, "{hours}");
    drop(answer);
}

#[tokio::test]
async fn a_limit_ends_what_is_followed() {
    let (memory, sender) = following();
    let (_node, client) = node(Arc::clone(&memory)).await;
    let path = "/containerLogs/ns/p/c?follow=true&limitBytes=4";
    let answer = client.send(Method::GET, path, None).await.unwrap();
    sender.send(Ok(Bytes::from("bcd\n"))).await.unwrap();
    let answer = read(answer).await;
    assert_eq!((answer.text.as_str(), answer.whole), ("a\nbc", true));
    sender.closed().await;
    let expected = LogRange {
        run: 0,
        start: LogStart::Offset(0),
        length: Some(4),
        follow: true,
    };
    assert_eq!(*memory.opened.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn pods_are_listed_and_the_running_ones_apart() {
    let (node, client) = node(Arc::new(Memory::default())).await;
    node.api.allow("apiserver", "get", "pods");
    node.pods
        .put(pod("done", json!({"state": {"terminated": {"exitCode": 0}}})));
    for (path, names) in [("/pods", &["done", "p"][..]), ("/runningpods/", &["p"])] {
        let answer = client.get(path).await;
        let list: Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!((&list["kind"], &list["apiVersion"]), (&json!("PodList"), &json!("v1")));
        let items = list["items"].as_array().unwrap();
        let found: Vec<_> = items
            .iter()
            .map(|pod| pod["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(found, names, "{path}");
    }
}
