//! `towline ps`.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::connection::Connection;
use super::output::{self, Output, age};
use super::pods::{self, Listed};

/// List the pods that are on a cluster
#[derive(Debug, Args)]
pub struct Ps {
    /// The cluster's login node; without it, this machine
    #[arg(conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// Those of all agents, the Kubernetes nodes included
    #[arg(short = 'A', long)]
    all_agents: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

impl Ps {
    pub async fn run(self) -> anyhow::Result<u8> {
        let cluster = self.connection.connect(self.target.as_deref()).await?;
        let mut all = Vec::new();
        let mut code = 0;
        for agent in pods::agents(&cluster, self.all_agents).await? {
            let (found, silent) = pods::list(&agent).await?;
            all.extend(found);
            if let Some(error) = silent {
                eprintln!("warning: what waits in the queue is not known: {error}");
                code = 1;
            }
        }
        self.output.print(&all, || self.table(&all))?;
        cluster.remote().close().await;
        Ok(code)
    }

    fn table(&self, pods: &[Listed]) -> String {
        let mut head = vec!["UID", "NAME", "STATUS", "RESTARTS", "AGE", "JOB", "NODE"];
        if self.all_agents {
            head.insert(0, "AGENT");
        }
        let wide = self.output.wide();
        if wide {
            head.extend(["NAMESPACE", "CONTAINERS", "MESSAGE"]);
        }
        let none = || "-".to_owned();
        let now = output::now();
        let row = |pod: &Listed| {
            let uid = if wide {
                pod.uid.clone()
            } else {
                pod.uid.chars().take(8).collect()
            };
            let mut row = vec![
                uid,
                pod.name.clone(),
                pod.status.clone(),
                pod.restarts.to_string(),
                pod.started.map_or_else(none, |at| age(now - at)),
                pod.job.clone().unwrap_or_else(none),
                pod.node.clone().unwrap_or_else(none),
            ];
            if self.all_agents {
                row.insert(0, pod.agent.clone());
            }
            if wide {
                let containers = pod.containers.iter().map(|container| {
                    let exit = container.exit_code.map_or_else(String::new, |code| format!(":{code}"));
                    format!("{}={}{exit}", container.name, container.state)
                });
                row.extend([
                    pod.namespace.clone(),
                    containers.collect::<Vec<_>>().join(","),
                    pod.message.clone(),
                ]);
            } else if pod.status == "Pending" {
                // Why it waits is what one looks for.
                row.push(pod.message.clone());
            }
            row
        };
        if !wide && pods.iter().any(|pod| pod.status == "Pending") {
            head.push("WHY");
        }
        output::table(&head, &pods.iter().map(row).collect::<Vec<_>>())
    }
}
