//! Commands in containers, their logs as they are written, and their ports, as the kubelet endpoint and the command line ask for them.

use async_trait::async_trait;
use tokio::io::AsyncReadExt;
use towline_cluster::{Cluster, Error, Input, LogRange, LogStart};
use towline_kubelet_api::{Place, Session, Sessions, Streams};
use towline_ssh::remote::Reader;
use towline_ssh::{Duplex, ExitStatus, Terminal};

/// What a terminal is taken for: what every program knows.
const TERM: &str = "xterm";

/// How much of a failure's words is repeated, in bytes.
const COMPLAINT: u64 = 4096;

/// Finds the address of a pod's node, as the login node knows it, by the pod's UID.
pub type Address = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The containers of a cluster.
pub struct ClusterSessions {
    /// The cluster.
    pub cluster: Cluster,
    /// Where a pod runs.
    pub address: Address,
}

fn input(streams: Streams) -> Input {
    match streams {
        Streams { tty: true, .. } => Input::Terminal(Terminal {
            kind: TERM.to_owned(),
            size: towline_ssh::Size::default(),
        }),
        Streams { stdin: true, .. } => Input::Open,
        _ => Input::None,
    }
}

/// What a process that has ended had to say.
async fn complaints(stderr: Reader) -> String {
    let mut said = Vec::new();
    // What cannot be read was not said.
    let _ = stderr.take(COMPLAINT).read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// A session with the streams that were asked for.
fn session(opened: towline_cluster::Session, streams: Streams) -> Session {
    Session {
        stdin: opened.stdin.filter(|_| streams.stdin),
        stdout: streams.stdout.then_some(opened.stdout),
        stderr: (streams.stderr && !streams.tty).then_some(opened.stderr),
        size: opened.size,
        exit: Box::pin(opened.end.wait()),
    }
}

#[async_trait]
impl Sessions for ClusterSessions {
    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> Result<Session, Error> {
        let input = input(streams);
        let opened = self.cluster.enter(&place.uid, &place.container, command, input).await?;
        Ok(session(opened, streams))
    }

    async fn attach(&self, place: &Place, streams: Streams) -> Result<Session, Error> {
        if streams.stdin {
            let opened = self
                .cluster
                .attach(&place.uid, &place.container, input(streams))
                .await?;
            return Ok(session(opened, streams));
        }
        // What it writes, a terminal or not, is in its log: nothing is needed on its node.
        let from_now = LogRange {
            run: -1,
            start: LogStart::LastLines(0),
            length: None,
            follow: true,
        };
        let mut log = self.cluster.log(&place.uid, &place.container, from_now).await?;
        let stdout = std::mem::replace(&mut log.stdout, Box::pin(tokio::io::empty()));
        let host = self.cluster.remote().name();
        Ok(Session {
            stdin: None,
            // Both outputs are one in a log.
            stdout: streams.stdout.then_some(stdout),
            stderr: None,
            size: None,
            exit: Box::pin(async move {
                let status = log.wait().await?;
                if status == ExitStatus::Code(0) {
                    return Ok(status);
                }
                let stderr = match status {
                    ExitStatus::Code(66) => "it has not been started".to_owned(),
                    _ => complaints(log.stderr).await,
                };
                Err(Error::Script {
                    what: "follow what a container writes",
                    host,
                    status,
                    stderr,
                })
            }),
        })
    }

    async fn connect(&self, place: &Place, port: u16) -> Result<Box<dyn Duplex>, Error> {
        let node = (self.address)(&place.uid);
        self.cluster.forward(&place.uid, node.as_deref(), port).await
    }
}
