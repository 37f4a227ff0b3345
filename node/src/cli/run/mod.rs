//! `towline run`: the pods of a file, without Kubernetes.

mod attached;
pub mod code;
mod controller;
mod detached;
mod interrupt;
mod outcome;
mod progress;
mod streams;
mod validation;

use std::sync::Arc;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use k8s_openapi::api::core::v1::Pod;
use towline_core::bundle::Bundle;
use towline_core::translate::{Fault, Site, translate};

use self::attached::Attached;
use self::controller::Controller;
use self::progress::Progress;
use super::connection::Connection;
use super::manifest::Manifest;
use super::site::SiteOptions;

/// Run the pods and jobs of a file on a cluster, or on this machine
///
/// The file holds Pods and Jobs, and the ConfigMaps, Secrets and PersistentVolumeClaims (with their PersistentVolumes) that
/// they refer to. Logs go to standard output, everything
/// else to standard error. Ctrl-C cancels and waits for the end; a second one forces it.
#[derive(Debug, Args)]
#[command(after_help = code::HELP)]
pub struct Run {
    /// The cluster's login node; without it, this machine
    #[arg(conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// The file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: String,
    /// Do not wait: print the pods' UIDs and leave
    #[arg(short, long)]
    detach: bool,
    /// Keep the pods' directories on the cluster when they are over
    #[arg(long)]
    keep: bool,
    /// Say nothing but the logs and errors
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    site: SiteOptions,
    #[command(flatten)]
    connection: Connection,
}

impl Run {
    pub async fn run(self) -> anyhow::Result<u8> {
        self.site.check(&self.connection)?;
        let manifest = Manifest::read(&self.file)?;
        let controllers = controllers(&manifest)?;
        if self.detach
            && let Some(job) = controllers.iter().find(|controller| !controller.runs_by_itself())
        {
            bail!(
                "Job {} wants fewer pods at a time than it needs in all: nobody would start the later ones with --detach; raise its parallelism to its completions, or leave out --detach",
                job.name
            );
        }
        let progress = Arc::new(Progress::new(self.quiet));
        let target = self.target.as_deref();
        progress.moving("connecting");
        let connected = async {
            let cluster = self.connection.connect(target).await?;
            let (site, _) = self.site.probed(&self.connection, &cluster).await?;
            anyhow::Ok((cluster, site))
        };
        let (cluster, site) = connected.await.inspect_err(|_| progress.end())?;
        let work = Work {
            manifest,
            controllers,
            site,
        };
        let result = if self.detach {
            detached::run(&cluster, work, &progress).await
        } else {
            Attached::new(cluster.clone(), work, Arc::clone(&progress), self.keep)
                .run()
                .await
        };
        progress.end();
        cluster.remote().close().await;
        result
    }
}

/// What there is to run.
struct Work {
    manifest: Manifest,
    controllers: Vec<Controller>,
    site: Site,
}

fn controllers(manifest: &Manifest) -> anyhow::Result<Vec<Controller>> {
    let controllers: Vec<Controller> = manifest
        .works
        .iter()
        .cloned()
        .map(Controller::new)
        .collect::<anyhow::Result<_>>()?;
    for (n, one) in controllers.iter().enumerate() {
        let same = |other: &&Controller| {
            other.name == one.name && other.namespace == one.namespace && other.is_job() == one.is_job()
        };
        if controllers[..n].iter().any(|other| same(&other)) {
            bail!("{} is in the file twice", one.name);
        }
    }
    Ok(controllers)
}

/// The pods that a file begins with, translated: what `render` shows and `run` sends first.
pub fn first_bundles(manifest: &Manifest, site: &Site) -> anyhow::Result<Vec<Bundle>> {
    let mut bundles = Vec::new();
    for mut controller in controllers(manifest)? {
        for pod in controller.next(std::time::Duration::ZERO) {
            bundles.push(bundle_of(&pod, manifest, site)?);
        }
    }
    Ok(bundles)
}

fn bundle_of(pod: &Pod, manifest: &Manifest, site: &Site) -> anyhow::Result<Bundle> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let problems = validation::problems(pod);
    if !problems.is_empty() {
        bail!("pod {name} cannot be run: InvalidPod: {}", problems.join("; "));
    }
    translate(pod, &manifest.references(&namespace), site)
        .map_err(|fault| match fault {
            Fault::Rejected(rejection) => anyhow::anyhow!("{}: {}", rejection.reason, rejection.message),
            Fault::Incomplete { message } => {
                anyhow::anyhow!("{message} in namespace {namespace}: put it into the same file")
            }
        })
        .with_context(|| format!("pod {name} cannot be run"))
}
