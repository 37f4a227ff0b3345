//! `towline node`, as far as it goes without an API server and a cluster.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;

use serde_json::json;

use crate::here::{Here, eventually, finish, signal};

/// Somebody who takes connections and never says a word.
struct Silent(TcpListener);

impl Silent {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self(listener)
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    /// Waits until somebody has come.
    fn visited(&self) -> TcpStream {
        let mut stream = None;
        eventually("somebody connects", || {
            stream = self.0.accept().ok();
            stream.is_some()
        });
        stream.unwrap().0
    }
}

/// An API server that knows of nothing: its address. It ends with the test.
fn empty_api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
                request.push(byte[0]);
            }
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404, "message": "nothing"});
            let body = status.to_string();
            let head = "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\nconnection: close";
            let _ = write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    address
}

/// Starts a node, and ends it with a signal while it waits for `busy`.
fn is_ended_while_it_waits(api: &str, option: &str, busy: &Silent, name: &str) {
    let here = Here::new();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": api}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    });
    let kubeconfig = here.file("kubeconfig", &kubeconfig.to_string());
    // Nothing but the signal ends the wait.
    let config = here.file("towline.yaml", "ssh: {connectTimeout: 1h}\n");
    let target = format!("somebody@127.0.0.1:{}", busy.port());
    let mut command = here.command(&["node", &target, "--config", &config, option, &kubeconfig]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _stream = busy.visited();
    signal(&child, name);
    let said = finish(child);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.err.contains("ending"), "{said:?}");
}

#[test]
fn a_node_that_waits_for_its_host_ends_when_it_is_told_to() {
    let api = empty_api();
    for name in ["INT", "TERM"] {
        is_ended_while_it_waits(&api, "--kubeconfig", &Silent::new(), name);
    }
}

#[test]
fn a_node_that_waits_for_the_api_server_ends_when_it_is_told_to() {
    for option in ["--kubeconfig", "--bootstrap-kubeconfig"] {
        let api = Silent::new();
        is_ended_while_it_waits(&format!("http://127.0.0.1:{}", api.port()), option, &api, "TERM");
    }
}
