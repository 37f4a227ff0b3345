//! Commands in containers, their logs as they are written, and their ports, as the kubelet endpoint asks for them.

use std::sync::Arc;

use async_trait::async_trait;
use towline_cluster::{Cluster, Error, Input, LogRange, LogStart};
use towline_kubelet_api::{Place, Session, Sessions, Streams};
use towline_ssh::{Duplex, ExitStatus, Terminal};

use super::reconcile::Shown;

/// What a terminal is taken for: what every program knows.
const TERM: &str = "xterm";

/// The containers of a cluster.
pub struct ClusterSessions {
    /// The cluster.
    pub cluster: Cluster,
    /// The pods as they are shown: they tell where a pod runs.
    pub shown: Arc<Shown>,
}

impl ClusterSessions {
    /// The address of a pod's node.
    fn node_of(&self, uid: &str) -> Option<String> {
        let pods = self.shown.load();
        let mut found = pods.values().map(|bound| &bound.pod);
        let pod = found.find(|pod| pod.metadata.uid.as_deref() == Some(uid))?;
        let status = pod.status.as_ref()?;
        status.host_ip.clone().or_else(|| status.pod_ip.clone())
    }
}

#[async_trait]
impl Sessions for ClusterSessions {
    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> Result<Session, Error> {
        let input = match streams {
            Streams { tty: true, .. } => Input::Terminal(Terminal {
                kind: TERM.to_owned(),
                size: towline_ssh::Size::default(),
            }),
            Streams { stdin: true, .. } => Input::Open,
            _ => Input::None,
        };
        let opened = self.cluster.enter(&place.uid, &place.container, command, input).await?;
        Ok(Session {
            stdin: opened.stdin.filter(|_| streams.stdin),
            stdout: streams.stdout.then_some(opened.stdout),
            stderr: (streams.stderr && !streams.tty).then_some(opened.stderr),
            size: opened.size,
            exit: Box::pin(opened.end.wait()),
        })
    }

    async fn attach(&self, place: &Place, streams: Streams) -> Result<Session, Error> {
        if streams.tty || streams.stdin {
            return Err(Error::Invalid(format!(
                "container {} of pod {}/{} has neither a standard input nor a terminal: its output can be attached to (without -i and -t), \
                 and a command with both can be started in it (exec)",
                place.container, place.namespace, place.pod
            )));
        }
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
                match log.wait().await? {
                    status @ ExitStatus::Code(66) => Err(Error::Script {
                        what: "follow what a container writes",
                        host,
                        status,
                        stderr: "it has not been started".to_owned(),
                    }),
                    _ => Ok(ExitStatus::Code(0)),
                }
            }),
        })
    }

    async fn connect(&self, place: &Place, port: u16) -> Result<Box<dyn Duplex>, Error> {
        let node = self.node_of(&place.uid);
        self.cluster.forward(&place.uid, node.as_deref(), port).await
    }
}
