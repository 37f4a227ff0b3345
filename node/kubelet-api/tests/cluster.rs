//! Logs of containers that really run: the scripts on this machine, batch system `host`, no container runtime.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::Node;
use common::client::{Client, piece, read};
use http::Method;
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;
use tempfile::TempDir;
use towline_cluster::{CancelMode, Cluster, Options};
use towline_core::status::{View, compute};
use towline_core::translate::{References, Site, translate};
use towline_ssh::Local;

const UID: &str = "00000000-0000-4000-8000-00000000000a";

/// A pod on this machine, and the API of the node that it belongs to.
struct Running {
    cluster: Cluster,
    node: Node,
    client: Client,
    pod: Pod,
    gate: TempDir,
    root: TempDir,
}

impl Running {
    /// `text` is the command; `$GATE` in it is a directory that the test can write into.
    async fn start(policy: &str, text: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let gate = tempfile::tempdir().unwrap();
        let mut options = Options::new("test", "tests");
        options.root = Some(root.path().to_string_lossy().into_owned());
        options.batch = Some("host".to_owned());
        let cluster = Cluster::connect(Arc::new(Local::default()), options).await.unwrap();
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": UID},
            "spec": {"restartPolicy": policy, "containers": [{
                "name": "main", "image": "-", "command": ["sh", "-c", text],
                "env": [{"name": "GATE", "value": gate.path()}],
            }]},
        }))
        .unwrap();
        let site = Site {
            agent: "test".to_owned(),
            runtime: "none".to_owned(),
            ..Site::default()
        };
        let bundle = translate(&pod, &References::default(), &site).unwrap();
        cluster.submit(&[bundle]).await.unwrap();
        let node = Node::start(Arc::new(cluster.clone())).await;
        let client = node.apiserver();
        Self {
            cluster,
            node,
            client,
            pod,
            gate,
            root,
        }
    }

    /// Waits for a status of the container, and lets the node know it.
    async fn until(&self, wanted: impl Fn(&k8s_openapi::api::core::v1::ContainerStatus) -> bool) {
        loop {
            let scanned = self.cluster.scan(&[UID.to_owned()]).await.unwrap();
            if let Some(report) = &scanned[UID].report {
                let mut pod = self.pod.clone();
                pod.status = Some(compute(
                    &pod,
                    View::Reported { report, job: None },
                    &Default::default(),
                    None,
                    report.time,
                ));
                let container = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0].clone();
                self.node.pods.put(pod);
                if wanted(&container) {
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_running(&self, restarts: i32) {
        self.until(|container| {
            let state = container.state.as_ref().unwrap();
            state.running.is_some() && container.restart_count == restarts
        })
        .await;
    }

    async fn until_ended(&self) {
        self.until(|container| container.state.as_ref().unwrap().terminated.is_some())
            .await;
    }

    fn open_gate(&self, name: &str) {
        std::fs::write(self.gate.path().join(name), "").unwrap();
    }

    async fn log(&self, query: &str) -> String {
        let answer = self.client.get(&format!("/containerLogs/ns/p/main?{query}")).await;
        assert!(answer.status.is_success() && answer.whole, "{answer:?}");
        answer.text
    }

    /// The process on the cluster that reads a log: of those with our directory in their words the one that started the others.
    fn reader(&self) -> String {
        let mine = format!("{}/scripts/", self.root.path().display());
        let readers: BTreeMap<String, String> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let entry = entry.unwrap();
                let words = std::fs::read_to_string(entry.path().join("cmdline")).ok()?;
                let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
                let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.to_owned();
                let pid = entry.file_name().into_string().unwrap();
                (words.contains(&mine) && words.contains("/pod/log\0")).then_some((pid, parent))
            })
            .collect();
        let mut first = readers.iter().filter(|(_, parent)| !readers.contains_key(*parent));
        first.next().unwrap().0.clone()
    }

    async fn end(self) {
        self.cluster
            .cancel(CancelMode::Hard, &[(UID.to_owned(), None)])
            .await
            .unwrap();
        while !self.cluster.list(&[]).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_running_container_is_followed_to_its_end() {
    let wait = "while ! [ -e \"$GATE/go\" ]; do sleep 0.1; done";
    let running = Running::start("Never", &format!("echo first; {wait}; echo second; printf third")).await;
    running.until_running(0).await;
    let path = "/containerLogs/ns/p/main?follow=true";
    let mut body = running.client.send(Method::GET, path, None).await.unwrap().into_body();
    let mut text = piece(&mut body).await.unwrap().unwrap();
    assert_eq!(text, "first\n");
    running.open_gate("go");
    while let Some(more) = piece(&mut body).await {
        text += &more.unwrap();
    }
    assert_eq!(text, "first\nsecond\nthird");

    running.until_ended().await;
    assert_eq!(running.log("").await, text);
    assert_eq!(running.log("tailLines=2").await, "second\nthird");
    assert_eq!(running.log("tailLines=1&limitBytes=2").await, "th");
    assert_eq!(running.log("sinceSeconds=3600").await, text);
    assert_eq!(running.log("tailLines=1&sinceSeconds=3600").await, "third");
    let stamped = running.log("timestamps=true").await;
    let mut before = None;
    let plain: Vec<&str> = stamped
        .lines()
        .map(|line| {
            let (time, rest) = line.split_once(' ').unwrap();
            let time: jiff::Timestamp = time.parse().unwrap();
            assert!(before <= Some(time), "{stamped}");
            before = Some(time);
            rest
        })
        .collect();
    assert_eq!(plain, ["first", "second", "third"]);
    assert!(running.log("timestamps=true&tailLines=1").await.ends_with("Z third"));
    running.end().await;
}

#[tokio::test]
async fn after_a_restart_there_is_a_previous_log() {
    let text = "if mkdir \"$GATE/once\" 2>/dev/null; then echo one; exit 3; fi; echo two; exec sleep 600";
    let running = Running::start("Always", text).await;
    running.until_running(1).await;
    let follow = running
        .client
        .send(Method::GET, "/containerLogs/ns/p/main?follow=true", None)
        .await;
    let mut body = follow.unwrap().into_body();
    assert_eq!(piece(&mut body).await.unwrap().unwrap(), "two\n");
    assert_eq!(running.log("").await, "two\n");
    assert_eq!(running.log("previous=true").await, "one\n");
    assert_eq!(running.log("previous=true&follow=true").await, "one\n");
    running.end().await;
}

#[tokio::test]
async fn a_log_that_is_gone_is_no_empty_log() {
    let running = Running::start("Never", "echo gone").await;
    running.until_ended().await;
    running.cluster.remove(&[UID.to_owned()]).await.unwrap();
    let answer = running.client.get("/containerLogs/ns/p/main").await;
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.text,
        format!("unable to retrieve container logs for towline://{UID}-main-0")
    );
    running.end().await;
}

#[tokio::test]
async fn a_reading_that_is_killed_is_no_end_of_the_log() {
    let running = Running::start("Never", "echo first; exec sleep 600").await;
    running.until_running(0).await;
    let path = "/containerLogs/ns/p/main?follow=true";
    let mut answer = running.client.send(Method::GET, path, None).await.unwrap();
    assert_eq!(piece(answer.body_mut()).await.unwrap().unwrap(), "first\n");
    let killed = std::process::Command::new("kill")
        .args(["-9", &running.reader()])
        .status();
    assert!(killed.unwrap().success());
    let answer = read(answer).await;
    assert!(!answer.whole);
    assert!(
        answer.text.starts_with("towline: the log was cut here: "),
        "{}",
        answer.text
    );
    assert!(answer.text.contains("KILL"), "{}", answer.text);
    running.end().await;
}
