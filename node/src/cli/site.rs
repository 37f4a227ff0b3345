//! What holds for every pod of a command, as far as the command line says it.

use clap::Args;
use towline_cluster::Cluster;
use towline_core::answer::{Facts, Partition};
use towline_core::places::clean;
use towline_core::policy::{HostPath, Policy, VolumeRule};
use towline_core::translate::{ImageRewrite, Site, default_runtime, overhead_memory_mb};

use super::connection::Connection;

#[derive(Debug, Args)]
pub struct SiteOptions {
    /// The container runtime: apptainer, none [default: apptainer; without a target, whichever is there]
    #[arg(long, value_name = "NAME", env = "TOWLINE_RUNTIME", help_heading = "Pods")]
    runtime: Option<String>,
    /// A registry that speaks plain HTTP, as compute nodes see it
    #[arg(
        long,
        value_name = "HOST",
        env = "TOWLINE_PLAIN_HTTP",
        value_delimiter = ',',
        help_heading = "Pods"
    )]
    plain_http: Vec<String>,
    /// Images whose full name begins with FROM get TO in its place, as docker.io/=registry.example.org/mirror/, or one of
    /// the mirrors where that gives no image
    #[arg(
        long,
        value_name = "FROM=TO[=MIRROR…]",
        env = "TOWLINE_IMAGE_REWRITE",
        value_delimiter = ',',
        value_parser = image_rewrite,
        help_heading = "Pods"
    )]
    image_rewrite: Vec<ImageRewrite>,
    /// How images are kept: a directory (sandbox) or a file (sif)
    #[arg(long, value_name = "FORMAT", value_parser = ["sandbox", "sif"], default_value = "sandbox", help_heading = "Pods")]
    image_format: String,
    /// Where on the cluster persistent volumes are whose source begins with FROM: `/path`, `nfs://server/path` or
    /// `csi://driver/handle`
    #[arg(
        long,
        value_name = "FROM=TO",
        env = "TOWLINE_VOLUME",
        value_delimiter = ',',
        value_parser = volume_rule,
        help_heading = "Pods"
    )]
    volume: Vec<VolumeRule>,
    /// A directory of the cluster that hostPath volumes may lie in; `:ro` for reading only
    #[arg(
        long,
        value_name = "PATH[:ro]",
        env = "TOWLINE_HOST_PATH",
        value_delimiter = ',',
        value_parser = host_path,
        help_heading = "Pods"
    )]
    host_path: Vec<HostPath>,
    /// The partition (queue)
    #[arg(long, value_name = "NAME", env = "TOWLINE_PARTITION", help_heading = "Pods")]
    partition: Option<String>,
    /// The account (project) that pays
    #[arg(long, value_name = "NAME", env = "TOWLINE_ACCOUNT", help_heading = "Pods")]
    account: Option<String>,
    /// The quality of service
    #[arg(long, value_name = "NAME", env = "TOWLINE_QOS", help_heading = "Pods")]
    qos: Option<String>,
}

fn image_rewrite(text: &str) -> Result<ImageRewrite, String> {
    let mut parts = text.split('=').map(str::to_owned);
    let from = parts.next().filter(|from| !from.is_empty()).ok_or("write FROM=TO")?;
    let to = parts.next().ok_or("write FROM=TO")?;
    let mirrors = parts.collect();
    Ok(ImageRewrite { from, to, mirrors })
}

fn volume_rule(text: &str) -> Result<VolumeRule, String> {
    let (from, to) = text.rsplit_once('=').ok_or("write FROM=TO")?;
    if from.is_empty() {
        return Err("write FROM=TO".to_owned());
    }
    Ok(VolumeRule {
        from: from.to_owned(),
        to: absolute(to)?,
    })
}

fn host_path(text: &str) -> Result<HostPath, String> {
    let (path, read_only) = match text.strip_suffix(":ro") {
        Some(path) => (path, true),
        None => (text, false),
    };
    Ok(HostPath {
        path: absolute(path)?,
        read_only,
    })
}

fn absolute(path: &str) -> Result<String, String> {
    clean(path).ok_or_else(|| format!("{path:?} is no absolute path without `..`"))
}

impl SiteOptions {
    /// Refuses a container runtime that there is no script for.
    pub fn check(&self, connection: &Connection) -> anyhow::Result<()> {
        match self.asked() {
            Some(runtime) => Ok(connection.scripts()?.expect_runtime(runtime)?),
            None => Ok(()),
        }
    }

    /// The container runtime that was asked for by name.
    fn asked(&self) -> Option<&str> {
        self.runtime.as_deref().filter(|runtime| *runtime != "auto")
    }

    /// Without a look at the cluster.
    pub fn site(&self, connection: &Connection, batch: &str, apptainer_is_here: bool) -> Site {
        let runtime = self
            .asked()
            .unwrap_or_else(|| default_runtime(batch, apptainer_is_here))
            .to_owned();
        Site {
            agent: connection.agent().to_owned(),
            overhead_memory_mb: overhead_memory_mb(&runtime),
            runtime,
            partition: self.partition.clone(),
            account: self.account.clone(),
            qos: self.qos.clone(),
            image_rewrites: self.image_rewrite.clone(),
            plain_http: self.plain_http.clone(),
            image_format: self.image_format.clone(),
            batch: batch.to_owned(),
            policy: Policy {
                volumes: self.volume.clone(),
                host_paths: self.host_path.clone(),
                ..Policy::default()
            },
            ..Site::default()
        }
    }

    /// After a look at the cluster: with the limits of the partition that the pods go to.
    pub async fn probed(&self, connection: &Connection, cluster: &Cluster) -> anyhow::Result<(Site, Facts)> {
        let (facts, partitions) = cluster.probe().await?;
        let mut site = self.site(connection, cluster.batch(), has_apptainer(&facts));
        let chosen = |partition: &&Partition| match &self.partition {
            Some(name) => partition.name == *name,
            None => partition.default,
        };
        site.partitions = partitions
            .iter()
            .map(|partition| (partition.name.clone(), partition.max_walltime_s))
            .collect();
        if let Some(partition) = partitions.iter().find(chosen) {
            site.max_walltime_s = partition.max_walltime_s;
        }
        Ok((site, facts))
    }

    /// What to ask the batch system for when a compute node is looked at.
    pub fn request(&self) -> Vec<(String, String)> {
        let asked = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
        ];
        asked
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
            .collect()
    }
}

/// The host that was asked has Apptainer.
pub fn has_apptainer(facts: &Facts) -> bool {
    facts.get("apptainer").is_some_and(|version| version != "no")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_volumes_are_absolute() {
        let rule = volume_rule("nfs://server/a=b=/home/x//y/").unwrap();
        assert_eq!(
            (rule.from.as_str(), rule.to.as_str()),
            ("nfs://server/a=b", "/home/x/y")
        );
        let open = host_path("/data:ro").unwrap();
        assert_eq!((open.path.as_str(), open.read_only), ("/data", true));
        assert!(!host_path("/data").unwrap().read_only);
        for bad in ["/a", "=/b", "/a=b", "/a=/b/../c"] {
            assert!(volume_rule(bad).is_err(), "{bad}");
        }
        assert!(host_path("data").is_err());
    }
}
