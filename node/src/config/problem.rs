//! What is wrong with a configuration: all of it at once, each with the place where it was said.

use std::fmt;

use super::path::Place;
use super::tree::Source;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Where it was said.
    pub source: Source,
    /// The key.
    pub place: Place,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.source, self.place, self.message)
    }
}

/// Nothing, or an error that names every problem.
pub fn none_of(problems: &[Problem]) -> anyhow::Result<()> {
    match problems {
        [] => Ok(()),
        [one] => Err(anyhow::anyhow!("the configuration cannot be used: {one}")),
        several => {
            let lines: String = several.iter().map(|problem| format!("\n  {problem}")).collect();
            Err(anyhow::anyhow!(
                "the configuration cannot be used, {} things are wrong:{lines}",
                several.len()
            ))
        }
    }
}
