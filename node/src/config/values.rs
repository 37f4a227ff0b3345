//! Values that are written as text: durations, quantities, paths.

use std::borrow::Cow;
use std::fmt;

use jiff::SignedDuration;
use jiff::fmt::friendly::{Spacing, SpanPrinter};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use towline_core::quantity;
use towline_core::translate::walltime;

/// A length of time: `30s`, `1h30m`, `2d`, or `[days-]hours:minutes:seconds` as Slurm writes a walltime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Duration(std::time::Duration);

impl Duration {
    /// That many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(std::time::Duration::from_secs(seconds))
    }

    /// As the standard library has it.
    pub fn get(self) -> std::time::Duration {
        self.0
    }
}

impl TryFrom<String> for Duration {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration: write 30s, 1h30m, 2d or, as Slurm does, 1-00:00:00");
        // A bare number is seconds to some and minutes to Slurm: it is refused.
        let slurm = || walltime(&text).filter(|_| text.contains([':', '-']));
        if let Some(seconds) = slurm() {
            return Ok(Self::seconds(seconds));
        }
        let (days, rest) = match text.split_once('d') {
            Some((days, rest)) => (days.trim().parse::<u64>().map_err(|_| wrong())?, rest),
            None => (0, text.as_str()),
        };
        let rest = match rest.trim() {
            "" if text.contains('d') => SignedDuration::ZERO,
            rest => rest.parse().map_err(|_| wrong())?,
        };
        let days = days.checked_mul(86_400).map(std::time::Duration::from_secs);
        let total = days.and_then(|days| days.checked_add(std::time::Duration::try_from(rest).ok()?));
        total.filter(|total| !total.is_zero()).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printer = SpanPrinter::new().spacing(Spacing::None);
        f.write_str(&printer.unsigned_duration_to_string(&self.0))
    }
}

impl From<Duration> for String {
    fn from(duration: Duration) -> Self {
        duration.to_string()
    }
}

impl JsonSchema for Duration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "time-span", "examples": ["30s", "1h30m", "1-00:00:00"] })
    }
}

/// A Kubernetes quantity: `64`, `500m`, `1.5Gi`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Text", into = "String")]
pub struct Quantity(String);

impl Quantity {
    /// One that is known to be right.
    pub(super) fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whole CPUs, rounded up.
    pub fn whole(&self) -> u64 {
        self.units()
    }

    /// MiB, rounded up.
    pub fn mib(&self) -> u64 {
        self.units().div_ceil(1 << 20)
    }

    fn units(&self) -> u64 {
        // It was read once before, in `try_from`.
        quantity::units(&self.0).unwrap_or_default()
    }
}

/// A quantity may be written as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(serde_json::Number),
    Text(String),
}

impl TryFrom<Text> for Quantity {
    type Error = String;

    fn try_from(text: Text) -> Result<Self, String> {
        let text = match text {
            Text::Number(number) => number.to_string(),
            Text::Text(text) => text,
        };
        quantity::units(&text).map_err(|error| error.to_string())?;
        Ok(Self(text))
    }
}

impl From<Quantity> for String {
    fn from(quantity: Quantity) -> Self {
        quantity.0
    }
}

impl JsonSchema for Quantity {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number"], "format": "quantity", "examples": ["64", "1.5Gi"] })
    }
}

/// The name under which GPUs are offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct GpuResource(String);

impl GpuResource {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for GpuResource {
    fn default() -> Self {
        Self("nvidia.com/gpu".to_owned())
    }
}

/// The schema of a path on this machine. `~/` is the user's home; a relative path in a file starts where the file lies.
pub struct Path;

/// The `format` by which paths are found.
pub const PATH: &str = "path";

impl JsonSchema for Path {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Path".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": PATH })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Duration, String> {
        Duration::try_from(text.to_owned())
    }

    #[test]
    fn durations_are_read_as_go_and_slurm_write_them() {
        for (text, seconds) in [
            ("30s", 30),
            ("1h30m", 5400),
            ("2h", 7200),
            ("2d", 172_800),
            ("1d12h", 129_600),
            ("1-00:00:00", 86_400),
            ("1-12", 129_600),
            ("02:30:00", 9000),
        ] {
            assert_eq!(read(text).map(|read| read.get().as_secs()), Ok(seconds), "{text}");
        }
        for text in [
            "",
            "30",
            "0s",
            "-5s",
            "5 parsecs",
            "1h-30m",
            "d",
            "-1d",
            "1d-2h",
            "99999999999999999999d",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 1..100_000_000_u64) {
            let duration = Duration::seconds(seconds);
            prop_assert_eq!(read(&duration.to_string()), Ok(duration));
        }

        #[test]
        fn reading_never_panics(text in "[0-9dhms:. -]{0,12}|\\PC{0,12}") {
            let _ = read(&text);
        }
    }
}
