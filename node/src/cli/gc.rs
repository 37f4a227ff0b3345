//! `towline gc`.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::Serialize;
use towline_cluster::Fate;
use towline_core::images::{ImageFate, ImageLimits, PreparedImage};

use super::connection::Connection;
use super::output::{self, Output, age};
use super::pods;

/// For how long nobody may have connected with a version of the scripts, to be removed.
const SCRIPTS: Duration = Duration::from_secs(7 * 86_400);

/// The container runtime that prepares images.
const RUNTIME: &str = "apptainer";

/// Remove what is left on a cluster: the directories of pods that are over, images that nobody uses, interrupted uploads,
/// old scripts
#[derive(Debug, Args)]
pub struct Gc {
    /// The cluster's login node; without it, this machine
    #[arg(conflicts_with = "to", value_parser = NonEmptyStringValueParser::new())]
    target: Option<String>,
    /// Only pods that have been over for so long: 90s, 10m, 2h, 7d
    #[arg(long, value_name = "AGE", default_value = "10m", value_parser = duration)]
    older_than: Duration,
    /// Only prepared images that no pod needs and that nobody has used for so long
    #[arg(long, value_name = "AGE", default_value = "30d", value_parser = duration)]
    images_older_than: Duration,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
    #[command(flatten)]
    connection: Connection,
}

/// Something that was looked at.
#[derive(Debug, Serialize)]
struct Item {
    kind: String,
    what: String,
    removed: bool,
    why: String,
}

impl Gc {
    pub async fn run(self) -> anyhow::Result<u8> {
        let cluster = self.connection.connect(self.target.as_deref()).await?;
        let (all, silent) = pods::list(&cluster).await?;
        if let Some(error) = silent {
            eprintln!(
                "warning: pods that have not said how they ended stay, because the batch system could not be asked: {error}"
            );
        }
        let now = output::now();
        let limit = i64::try_from(self.older_than.as_secs()).unwrap_or(i64::MAX);
        let mut items = Vec::new();
        let mut gone = Vec::new();
        for pod in &all {
            // Other hosts have other clocks, and seconds are rounded: what ended in our future has ended just now.
            let since = pod.finished.map(|at| (now - at).max(0));
            let removed = pod.ended && since.is_none_or(|since| since >= limit);
            let why = match since.filter(|_| pod.ended) {
                Some(since) => format!("{} for {}", pod.status, age(since)),
                None => pod.status.clone(),
            };
            if removed {
                gone.push(pod.uid.clone());
            }
            items.push(Item {
                kind: "pod".to_owned(),
                what: format!("{} {}", pod.uid, pod.name),
                removed,
                why,
            });
        }
        if !self.dry_run {
            cluster.remove(&gone).await?;
        }
        let mut code = 0;
        for left in cluster.sweep(SCRIPTS, self.dry_run).await? {
            let (removed, why) = match left.fate {
                Fate::Removed => (true, "nobody needs it".to_owned()),
                Fate::Kept(why) => (false, why),
                Fate::Failed => {
                    code = 1;
                    (false, "it could not be removed".to_owned())
                }
            };
            items.push(Item {
                kind: left.kind,
                what: left.path,
                removed,
                why,
            });
        }
        let limits = ImageLimits {
            max_age_s: Some(self.images_older_than.as_secs()),
            ..ImageLimits::default()
        };
        items.extend(cluster.images(RUNTIME, limits, self.dry_run).await?.iter().map(image));
        self.output.print(&items, || self.table(&items))?;
        cluster.remote().close().await;
        Ok(code)
    }

    fn table(&self, items: &[Item]) -> String {
        if items.is_empty() {
            return "nothing is left\n".to_owned();
        }
        let fate = |item: &Item| match (item.removed, self.dry_run) {
            (true, false) => "removed",
            (true, true) => "would be removed",
            (false, _) => "kept",
        };
        let row = |item: &Item| {
            vec![
                fate(item).to_owned(),
                item.kind.clone(),
                item.what.clone(),
                item.why.clone(),
            ]
        };
        output::table(
            &["FATE", "KIND", "WHAT", "WHY"],
            &items.iter().map(row).collect::<Vec<_>>(),
        )
    }
}

fn image(image: &PreparedImage) -> Item {
    let idle = age(i64::try_from(image.idle_s).unwrap_or(i64::MAX));
    let why = match image.fate {
        ImageFate::Used => "a pod needs it".to_owned(),
        ImageFate::Busy => "somebody prepares it".to_owned(),
        ImageFate::Kept | ImageFate::Removed => format!("not used for {idle}"),
    };
    Item {
        kind: "image".to_owned(),
        what: format!("{} ({} MiB)", image.name(), image.size.div_ceil(1 << 20)),
        removed: image.fate == ImageFate::Removed,
        why,
    }
}

/// `90s`, `10m`, `2h`, `7d`; without a unit, seconds.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = match text.find(|c: char| !c.is_ascii_digit()) {
        Some(at) => text.split_at(at),
        None => (text, "s"),
    };
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => anyhow::bail!("write a number and s, m, h or d"),
    };
    let number: u64 = number.parse().context("write a number and s, m, h or d")?;
    Ok(Duration::from_secs(number.saturating_mul(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read() {
        for (text, seconds) in [
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7200),
            ("7d", 604_800),
            ("0s", 0),
        ] {
            assert_eq!(duration(text).unwrap(), Duration::from_secs(seconds), "{text}");
        }
        for bad in ["", "h", "1w", "1.5h", "-1s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
