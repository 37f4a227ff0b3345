//! Sessions in containers that run, by the code that serves them to Kubernetes: what `exec`, `attach`, `port-forward` and
//! `cp` have in common.

mod carry;
mod terminal;

use anyhow::bail;
use towline_cluster::Cluster;
use towline_kubelet_api::{Place, Session, Streams};

use super::connection::Connection;
use super::pods::{self, Listed};
use crate::node::ClusterSessions;

pub use carry::{Interrupts, carry, copy};

/// A pod that runs, and the way into it.
pub struct Reached {
    /// Where it runs.
    pub cluster: Cluster,
    /// What can be done in it.
    pub sessions: ClusterSessions,
    /// The pod.
    pub pod: Listed,
}

impl Reached {
    /// Finds a pod by what a person calls it.
    ///
    /// # Errors
    /// There is no such pod, or several, or it is over.
    pub async fn find(connection: &Connection, word: &str) -> anyhow::Result<Self> {
        let cluster = connection.connect(None).await?;
        let (all, _) = pods::list(&cluster).await?;
        let pod = pods::one(&all, word)?.clone();
        if pod.ended {
            bail!("pod {} is over ({}): nothing of it runs", pod.name, pod.status);
        }
        let (uid, address) = (pod.uid.clone(), pod.address.clone());
        let sessions = ClusterSessions {
            cluster: cluster.clone(),
            address: Box::new(move |asked| address.clone().filter(|_| asked == uid)),
        };
        Ok(Self { cluster, sessions, pod })
    }

    /// The pod as a whole.
    pub fn whole(&self) -> Place {
        Place {
            namespace: self.pod.namespace.clone(),
            pod: self.pod.name.clone(),
            uid: self.pod.uid.clone(),
            container: String::new(),
        }
    }

    /// One of its containers: the one that is named, or the only one that is there.
    ///
    /// # Errors
    /// There is no such container, or nobody can know which one is meant.
    pub fn container(&self, named: Option<&str>) -> anyhow::Result<Place> {
        Ok(Place {
            container: pods::container_of(&self.pod, named)?,
            ..self.whole()
        })
    }
}

/// Opens a session in a container of a pod and carries its streams to its end. `stdin` and `tty`: what was asked for.
///
/// # Errors
/// The container was not found, the session could not be opened, or nobody knows how it ended.
pub async fn serve(
    connection: &Connection,
    (pod, container): (&str, Option<&str>),
    (stdin, tty): (bool, bool),
    open: impl AsyncFnOnce(&ClusterSessions, &Place, Streams) -> Result<Session, towline_cluster::Error>,
) -> anyhow::Result<u8> {
    let tty = terminal::wanted(stdin, tty);
    let reached = Reached::find(connection, pod).await?;
    let place = reached.container(container)?;
    let streams = Streams {
        stdin,
        stdout: true,
        stderr: !tty,
        tty,
    };
    let ended = match open(&reached.sessions, &place, streams).await {
        Ok(session) => carry(session, tty).await,
        Err(error) => Err(error.into()),
    };
    reached.cluster.remote().close().await;
    ended
}
