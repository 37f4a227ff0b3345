//! `towline config`: what holds, and who said so.

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::config::{self, Flags};

/// Print the configuration that holds, with the source of each value
#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(flatten)]
    flags: Flags,
    /// How to print it
    #[arg(short, long, value_name = "FORMAT", default_value = "yaml")]
    output: Format,
    /// Print the JSON schema of the configuration instead
    #[arg(long)]
    schema: bool,
    /// Print docs/configuration.md instead
    #[arg(long, hide = true, conflicts_with = "schema")]
    markdown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// With the sources as comments
    Yaml,
    /// Each value as {value, source}
    Json,
}

impl ConfigCommand {
    /// The text to print.
    ///
    /// # Errors
    /// The configuration cannot be used; the message says everything that is wrong with it.
    pub fn run(&self) -> anyhow::Result<String> {
        let pretty = |json: &serde_json::Value| {
            let text = serde_json::to_string_pretty(json).context("failed to write JSON")?;
            Ok(text + "\n")
        };
        if self.schema {
            return pretty(&config::schema());
        }
        if self.markdown {
            return Ok(config::markdown());
        }
        let effective = config::load(&self.flags)?;
        match self.output {
            Format::Yaml => Ok(effective.to_yaml()),
            Format::Json => pretty(&effective.to_json()),
        }
    }
}
