//! `towline check`: the doctor.

mod cluster;
mod compute;
mod finding;
mod login;

use std::io::IsTerminal;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use indicatif::ProgressBar;

use self::finding::{Finding, State};
use super::connection::Connection;
use super::output::{self, Format, Output};
use super::site::SiteOptions;

/// Look at everything that a cluster has to offer: what is there, what it means, what to do
///
/// A small job looks at a compute node from inside; it may have to wait in the queue. The exit code is 0 if everything
/// that is needed is there, else 1.
#[derive(Debug, Args)]
pub struct Check {
    /// The cluster's login node; without it, this machine
    #[arg(conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// A registry that compute nodes should reach
    #[arg(long, value_name = "HOST")]
    registry: Vec<String>,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    site: SiteOptions,
    #[command(flatten)]
    connection: Connection,
}

/// Takes findings as they come, and shows them at once to a person.
pub struct Report {
    findings: Vec<Finding>,
    shown: bool,
    wide: bool,
    bar: Option<ProgressBar>,
}

impl Report {
    pub fn add(&mut self, finding: Finding) {
        if self.shown {
            let line = finding.line(std::io::stdout().is_terminal(), self.wide);
            let write = || output::print(&line);
            let written = match &self.bar {
                Some(bar) => bar.suspend(write),
                None => write(),
            };
            if let Err(error) = written {
                tracing::debug!(%error, "nobody reads the report");
                self.shown = false;
            }
        }
        self.findings.push(finding);
    }

    /// Says what is looked at, while it takes its time.
    pub fn looking(&self, at: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(format!("looking at {at}")),
            None => tracing::info!("looking at {at}"),
        }
    }
}

impl Check {
    pub async fn run(self) -> anyhow::Result<u8> {
        self.site.check(&self.connection)?;
        let person = !matches!(self.output.output, Some(Format::Json | Format::Yaml));
        let mut report = Report {
            findings: Vec::new(),
            shown: person,
            wide: self.output.wide(),
            bar: std::io::stderr().is_terminal().then(|| {
                let bar = ProgressBar::new_spinner();
                bar.enable_steady_tick(std::time::Duration::from_millis(120));
                bar
            }),
        };
        self.look(&mut report).await?;
        if let Some(bar) = report.bar.take() {
            bar.finish_and_clear();
        }
        if !person {
            self.output.print(&report.findings, String::new)?;
        }
        let lacking: Vec<&str> = report
            .findings
            .iter()
            .filter(|finding| finding.needed && finding.state == State::Missing)
            .map(|finding| finding.what.as_str())
            .collect();
        if lacking.is_empty() {
            return Ok(0);
        }
        if person {
            output::print(&format!(
                "\npods cannot run here before this is solved: {}\n",
                lacking.join(", ")
            ))?;
        }
        Ok(1)
    }

    async fn look(&self, report: &mut Report) -> anyhow::Result<()> {
        let target = self.target.as_deref();
        let (remote, ssh) = self.connection.remote(target)?;
        report.looking("the connection");
        if !login::connection(&*remote, ssh.as_deref(), report).await {
            return Ok(());
        }
        report.looking("the account");
        let Some(cluster) = login::account(remote.clone(), self.connection.options(target)?, report).await else {
            remote.close().await;
            return Ok(());
        };
        report.looking("the batch system");
        let apptainer = cluster::batch_system(&cluster, &self.site, report).await;
        report.looking("a compute node (this waits in the queue)");
        let site = self.site.site(&self.connection, cluster.batch(), apptainer);
        compute::node(&cluster, &self.site, &site.runtime, &self.registry, report).await;
        remote.close().await;
        Ok(())
    }
}
