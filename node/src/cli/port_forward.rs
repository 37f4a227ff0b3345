//! `towline port-forward`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use serde::Serialize;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use towline_kubelet_api::{Place, Sessions};

use super::connection::Connection;
use super::output::Output;
use super::session::{Interrupts, Reached};
use crate::node::ClusterSessions;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Forward ports of this machine to ports of a pod, until Ctrl-C
#[derive(Debug, Args)]
pub struct PortForward {
    /// The pod, by UID, the beginning of a UID, or name
    pod: String,
    /// Ports: the same on both sides, or one here and another there; `:REMOTE` takes a free one here
    #[arg(required = true, value_name = "[LOCAL:]REMOTE", value_parser = ports)]
    ports: Vec<Ports>,
    /// Addresses of this machine to listen on
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// A port here and one there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ports {
    local: u16,
    remote: u16,
}

fn ports(text: &str) -> Result<Ports, String> {
    let port = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is no port: write [LOCAL:]REMOTE")),
        Ok(port) => Ok(port),
    };
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    Ok(Ports {
        // None: whichever is free.
        local: if local.is_empty() { 0 } else { port(local)? },
        remote: port(remote)?,
    })
}

/// What is forwarded, as it is listed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Forwarded {
    address: IpAddr,
    local_port: u16,
    remote_port: u16,
}

impl PortForward {
    pub async fn run(self) -> anyhow::Result<u8> {
        let mut interrupts = Interrupts::listen()?;
        let reached = Reached::find(&self.connection, &self.pod).await?;
        let place = reached.whole();
        let sessions = Arc::new(reached.sessions);
        let listeners = self.listen().await?;
        let mut forwarded = Vec::new();
        let mut listening = JoinSet::new();
        for (listener, remote_port) in listeners {
            let address = listener.local_addr().context("failed to listen")?;
            forwarded.push(Forwarded {
                address: address.ip(),
                local_port: address.port(),
                remote_port,
            });
            listening.spawn(accept(listener, Arc::clone(&sessions), place.clone(), remote_port));
        }
        self.output.print(&forwarded, || {
            let line = |one: &Forwarded| {
                let from = SocketAddr::new(one.address, one.local_port);
                format!("Forwarding from {from} -> {}\n", one.remote_port)
            };
            forwarded.iter().map(line).collect()
        })?;
        // It is how this command ends, so it has not failed.
        interrupts.next().await;
        listening.shutdown().await;
        reached.cluster.remote().close().await;
        Ok(0)
    }

    async fn listen(&self) -> anyhow::Result<Vec<(TcpListener, u16)>> {
        let mut listeners = Vec::new();
        for ports in &self.ports {
            for address in &self.address {
                let bind = |ip: IpAddr, port: u16| async move {
                    let at = SocketAddr::new(ip, port);
                    TcpListener::bind(at)
                        .await
                        .with_context(|| format!("failed to listen on {at}"))
                };
                if address == "localhost" {
                    let first = bind(Ipv4Addr::LOCALHOST.into(), ports.local).await?;
                    let port = first.local_addr().context("failed to listen")?.port();
                    listeners.push((first, ports.remote));
                    // Not every machine has it.
                    if let Ok(second) = bind(Ipv6Addr::LOCALHOST.into(), port).await {
                        listeners.push((second, ports.remote));
                    }
                } else {
                    let ip = address.parse().with_context(|| format!("{address:?} is no address"))?;
                    listeners.push((bind(ip, ports.local).await?, ports.remote));
                }
            }
        }
        Ok(listeners)
    }
}

/// Carries every connection that comes.
async fn accept(listener: TcpListener, sessions: Arc<ClusterSessions>, place: Place, port: u16) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (sessions, place) = (Arc::clone(&sessions), place.clone());
                    connections.spawn(async move {
                        if let Err(error) = forward(stream, &sessions, &place, port).await {
                            eprintln!("error: failed to forward to port {port} of pod {}: {error:#}", place.pod);
                        }
                    });
                }
                Err(error) => {
                    eprintln!("error: failed to accept a connection: {error}");
                    // Too many open files, for one, do not go away at once.
                    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn forward(mut near: TcpStream, sessions: &ClusterSessions, place: &Place, port: u16) -> anyhow::Result<()> {
    near.set_nodelay(true)?;
    let mut far = sessions.connect(place, port).await?;
    copy_bidirectional_with_sizes(&mut near, &mut far, CHUNK, CHUNK).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_kubectl_reads_them() {
        let pair = |local, remote| Ok(Ports { local, remote });
        assert_eq!(ports("80"), pair(80, 80));
        assert_eq!(ports("8080:80"), pair(8080, 80));
        assert_eq!(ports(":80"), pair(0, 80));
        for wrong in [
            "", ":", "0", "80:", "80:0", "0:80", "a:80", "80:http", "65536", "1:2:3", "-1",
        ] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
    }
}
