//! Prepared images: what the scripts say of them, and what a Node says of them to the Kubernetes scheduler.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::ContainerImage;

use crate::protocol::{BadAnswer, rows};

/// How many images a Node names at most, as a kubelet's.
const SHOWN: usize = 50;

/// What becomes of a prepared image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFate {
    /// A pod that has not ended may use it.
    Used,
    /// Nobody needs it now; it stays.
    Kept,
    /// Somebody prepares it in this moment.
    Busy,
    /// It is gone (or would be, in a dry run).
    Removed,
}

/// A version of a prepared image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedImage {
    /// What became of it.
    pub fate: ImageFate,
    /// Its directory below `images/`.
    pub key: String,
    /// Its directory below that.
    pub version: String,
    /// Its name with the digest, where that is known.
    pub id: Option<String>,
    /// Bytes that it takes.
    pub size: u64,
    /// Seconds since it was used last.
    pub idle_s: u64,
}

impl PreparedImage {
    /// The name under which it was pulled.
    pub fn name(&self) -> String {
        // (Behind a # stands whose credentials it was pulled with.)
        let name = self.key.split("%23").next().unwrap_or_default();
        let name = name.replace("%2F", "/").replace("%3A", ":");
        let last = name.rsplit('/').next().unwrap_or_default();
        if last.contains([':', '@']) {
            name
        } else {
            format!("{name}:latest")
        }
    }
}

/// When images that nobody needs are removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImageLimits {
    /// Unused for so many seconds.
    pub max_age_s: Option<u64>,
    /// When all together take more MiB than that.
    pub max_mb: Option<u64>,
    /// How many MiB they may take then.
    pub reduced_mb: Option<u64>,
}

/// Reads the answer of `container/NAME images`.
///
/// # Errors
/// The answer is incomplete or does not fit the contract.
pub fn images(output: &str) -> Result<Vec<PreparedImage>, BadAnswer> {
    let mut found = Vec::new();
    for row in rows(output)?.iter().filter(|row| row.kind() == "image") {
        found.push(PreparedImage {
            fate: match row.field(1)? {
                "used" => ImageFate::Used,
                "kept" => ImageFate::Kept,
                "busy" => ImageFate::Busy,
                "removed" => ImageFate::Removed,
                other => return Err(row.bad(format!("an image cannot be {other:?}"))),
            },
            key: row.field(2)?.to_owned(),
            version: row.field(3)?.to_owned(),
            id: row.optional(4)?.map(str::to_owned),
            size: row.number(5)?,
            idle_s: row.number(6)?,
        });
    }
    Ok(found)
}

/// What a Node's status says of the images: the largest first, the newest version by its name as well.
pub fn of_node(images: &[PreparedImage]) -> Vec<ContainerImage> {
    let mut there: Vec<&PreparedImage> = images.iter().filter(|image| image.fate != ImageFate::Removed).collect();
    there.sort_by(|a, b| (a.idle_s, &a.version).cmp(&(b.idle_s, &b.version)));
    let mut named = BTreeSet::new();
    let mut shown: Vec<ContainerImage> = there
        .into_iter()
        .map(|image| {
            let name = Some(image.name()).filter(|name| named.insert(name.clone()));
            let mut names: Vec<String> = image.id.clone().into_iter().chain(name).collect();
            names.dedup();
            ContainerImage {
                names: Some(names),
                size_bytes: i64::try_from(image.size).ok(),
            }
        })
        .filter(|image| image.names.as_ref().is_some_and(|names| !names.is_empty()))
        .collect();
    shown.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.names.cmp(&b.names)));
    shown.truncate(SHOWN);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(rows: &[&str]) -> String {
        let mut text = "towline\u{1f}1\n".to_owned();
        for row in rows {
            text.push_str(&row.replace('|', "\u{1f}"));
            text.push('\n');
        }
        text + &format!("end\u{1f}{}\n", rows.len() + 1)
    }

    #[test]
    fn images_are_named_as_they_were_pulled() {
        let text = answer(&[
            "image|used|registry%3A5000%2Fx%2Fy%3A1|vA|registry:5000/x/y@sha256:00|2048|3",
            "image|kept|docker.io%2Flibrary%2Fbusybox%23ab12|vB|-|1024|9",
        ]);
        let found = images(&text).unwrap();
        assert_eq!(found[0].name(), "registry:5000/x/y:1");
        assert_eq!(found[1].name(), "docker.io/library/busybox:latest");
        assert_eq!((found[1].id.as_deref(), found[1].idle_s), (None, 9));
        assert!(images(&answer(&["image|lost|k|v|-|1|1"])).is_err());
        assert!(images(&text[..text.len() - 2]).is_err());
    }

    #[test]
    fn a_node_names_the_largest_images_and_the_newest_version() {
        let image = |key: &str, version: &str, id: Option<&str>, size: u64, idle_s: u64| PreparedImage {
            fate: ImageFate::Kept,
            key: key.into(),
            version: version.into(),
            id: id.map(str::to_owned),
            size,
            idle_s,
        };
        let gone = PreparedImage {
            fate: ImageFate::Removed,
            ..image("gone", "v1", None, 9, 9)
        };
        let shown = of_node(&[
            image("small", "v1", None, 1, 0),
            image("big%3A1", "v1", Some("big@sha256:1"), 50, 90),
            image("big%3A1", "v2", Some("big@sha256:2"), 60, 5),
            image("again%3A1", "v1", None, 3, 5),
            image("again%3A1", "v2", None, 4, 2),
            gone,
        ]);
        let names: Vec<Vec<String>> = shown.iter().map(|image| image.names.clone().unwrap()).collect();
        assert_eq!(
            names,
            [
                vec!["big@sha256:2", "big:1"],
                vec!["big@sha256:1"],
                vec!["again:1"],
                vec!["small:latest"]
            ]
        );
        assert_eq!(shown[0].size_bytes, Some(60));
        let many: Vec<PreparedImage> = (0..70).map(|n| image(&format!("i{n}"), "v", None, n, 0)).collect();
        let shown = of_node(&many);
        assert_eq!((shown.len(), shown[0].size_bytes), (50, Some(69)));
    }
}
