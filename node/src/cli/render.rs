//! `towline render`: what `run` would send, byte for byte, without sending anything.

use std::io::Write;

use anyhow::Context;
use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use serde::Serialize;
use towline_cluster::Cluster;
use towline_core::bundle::{Bundle, Entry};
use towline_core::translate::Site;

use super::connection::Connection;
use super::manifest::Manifest;
use super::output;
use super::run::first_bundles;
use super::site::SiteOptions;

/// Show what `run` would send: every file, and the command that submits it
///
/// Nothing is sent and nothing is run. Without a target there is no connection either: what a cluster would tell (its
/// longest walltime, its home directory, its environment) is then not known. Secrets of the file are shown.
#[derive(Debug, Args)]
pub struct Render {
    /// The cluster's login node, to be asked for its limits
    #[arg(conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// The file; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    file: String,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    site: SiteOptions,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people; content that is not text as base64
    Text,
    /// The tar stream itself
    Tar,
    /// JSON, all content as base64
    Json,
    /// YAML, all content as base64
    Yaml,
}

/// What one pod would be.
#[derive(Debug, Serialize)]
struct Rendered<'a> {
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    command: Vec<String>,
    files: Vec<File<'a>>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    path: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    #[serde(skip)]
    content: &'a [u8],
}

/// Where it would run.
struct Place {
    site: Site,
    root: String,
    batch: String,
    /// The cluster, if it was asked.
    cluster: Option<Cluster>,
}

impl Render {
    pub async fn run(self) -> anyhow::Result<u8> {
        self.site.check(&self.connection)?;
        let manifest = Manifest::read(&self.file)?;
        let place = self.place().await?;
        let bundles = first_bundles(&manifest, &place.site)?;
        if self.output == Format::Tar {
            let tar = towline_cluster::archive(&bundles)?;
            std::io::stdout()
                .lock()
                .write_all(&tar)
                .context("failed to write the tar stream")?;
            return Ok(0);
        }
        let scripts = self.connection.scripts()?;
        let mut all = Vec::new();
        for bundle in &bundles {
            let command = match &place.cluster {
                Some(cluster) => cluster.render(bundle).await?,
                None => towline_cluster::render(&scripts, &place.batch, &place.root, &place.site.agent, bundle).await?,
            };
            all.push(rendered(bundle, command));
        }
        if let Some(cluster) = &place.cluster {
            cluster.remote().close().await;
        }
        let pretty = match self.output {
            Format::Json => serde_json::to_string_pretty(&all).context("failed to write JSON")? + "\n",
            Format::Yaml => serde_saphyr::to_string(&all).context("failed to write YAML")?,
            Format::Text | Format::Tar => all.iter().map(text).collect::<Vec<_>>().join("\n"),
        };
        output::print(&pretty)?;
        Ok(0)
    }

    async fn place(&self) -> anyhow::Result<Place> {
        let target = self.target.as_deref();
        if self.connection.is_far(target) {
            let cluster = self.connection.connect(target).await?;
            let (site, _) = self.site.probed(&self.connection, &cluster).await?;
            return Ok(Place {
                site,
                root: cluster.root().to_owned(),
                batch: cluster.batch().to_owned(),
                cluster: Some(cluster),
            });
        }
        let home = std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
        let root = match self.connection.root() {
            None => format!("{home}/.towline"),
            Some(root) => root
                .strip_prefix("~/")
                .map_or_else(|| root.to_owned(), |below| format!("{home}/{below}")),
        };
        let batch = self.connection.batch(target).unwrap_or_else(|| "host".to_owned());
        self.connection.scripts()?.expect_batch(&batch)?;
        let site = self
            .site
            .site(&self.connection, &batch, has("apptainer") || has("singularity"));
        Ok(Place {
            site,
            root,
            batch,
            cluster: None,
        })
    }
}

/// A program is on the PATH of this machine.
fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}

fn rendered(bundle: &Bundle, command: Vec<String>) -> Rendered<'_> {
    let files = bundle.entries.iter().map(|(path, entry)| match entry {
        Entry::Directory(mode) => File {
            path,
            kind: "directory",
            mode: Some(format!("{mode:04o}")),
            link: None,
            base64: None,
            content: &[],
        },
        Entry::File(mode, content) => File {
            path,
            kind: "file",
            mode: Some(format!("{mode:04o}")),
            link: None,
            base64: Some(base64::Engine::encode(&base64::prelude::BASE64_STANDARD, content)),
            content,
        },
        Entry::Symlink(target) => File {
            path,
            kind: "link",
            mode: None,
            link: Some(target),
            base64: None,
            content: &[],
        },
    });
    Rendered {
        namespace: &bundle.namespace,
        name: &bundle.name,
        uid: &bundle.uid,
        command,
        files: files.collect(),
    }
}

fn text(pod: &Rendered<'_>) -> String {
    let mut out = format!("# pod {}/{}, UID {}\n", pod.namespace, pod.name, pod.uid);
    out.push_str("# command\n");
    let words: Vec<String> = pod.command.iter().map(|word| towline_ssh::quote::quote(word)).collect();
    out.push_str(&words.join(" "));
    out.push('\n');
    for file in &pod.files {
        let mode = file.mode.as_deref().unwrap_or("link");
        match (file.kind, file.link) {
            ("directory", _) => out.push_str(&format!("# {mode} {}/\n", file.path)),
            (_, Some(target)) => out.push_str(&format!("# {mode} {} -> {target}\n", file.path)),
            _ => {
                let size = file.content.len();
                match readable(file.content) {
                    Some(content) => {
                        out.push_str(&format!("# {mode} {} ({size} bytes)\n{content}", file.path));
                        if !content.is_empty() && !content.ends_with('\n') {
                            out.push_str("\n# (without a newline at its end)\n");
                        }
                    }
                    None => {
                        let base64 = file.base64.as_deref().unwrap_or_default();
                        out.push_str(&format!("# {mode} {} ({size} bytes, base64)\n{base64}\n", file.path));
                    }
                }
            }
        }
    }
    out
}

/// Content that a terminal shows as it is.
fn readable(content: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(content).ok()?;
    (!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))).then_some(text)
}
