//! `towline ps`.

use clap::Args;

use super::output::{self, age};
use super::pods::{self, Listed, Listing};

/// List the pods that are on a cluster
#[derive(Debug, Args)]
pub struct Ps {
    #[command(flatten)]
    listing: Listing,
}

impl Ps {
    pub async fn run(self) -> anyhow::Result<u8> {
        let cluster = self.listing.connect().await?;
        let mut all = Vec::new();
        let mut code = 0;
        for agent in pods::agents(&cluster, self.listing.all_agents).await? {
            let (found, silent) = pods::list(&agent).await?;
            all.extend(found);
            if let Some(error) = silent {
                eprintln!("warning: what waits in the queue is not known: {error}");
                code = 1;
            }
        }
        self.listing.output.print(&all, || self.table(&all))?;
        cluster.remote().close().await;
        Ok(code)
    }

    fn table(&self, pods: &[Listed]) -> String {
        let mut head = self.listing.head(&["NAME", "STATUS", "RESTARTS", "AGE", "JOB", "NODE"]);
        let wide = self.listing.output.wide();
        if wide {
            head.extend(["NAMESPACE", "CONTAINERS", "MESSAGE"]);
        }
        let none = || "-".to_owned();
        let now = output::now();
        let row = |pod: &Listed| {
            let mut row = vec![
                pod.name.clone(),
                pod.status.clone(),
                pod.restarts.to_string(),
                pod.started.map_or_else(none, |at| age(now - at)),
                pod.job.clone().unwrap_or_else(none),
                pod.node.clone().unwrap_or_else(none),
            ];
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
            self.listing.row(&pod.agent, &pod.uid, row)
        };
        if !wide && pods.iter().any(|pod| pod.status == "Pending") {
            head.push("WHY");
        }
        output::table(&head, &pods.iter().map(row).collect::<Vec<_>>())
    }
}
