//! One thing that was looked at.

use serde::Serialize;

use crate::cli::output::clean;

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// As it should be.
    Found,
    /// There, with a limit.
    Limited,
    /// Not there.
    Missing,
    /// It could not be found out.
    Unknown,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub what: String,
    pub state: State,
    /// Pods cannot run without it.
    pub needed: bool,
    /// What there is.
    pub found: String,
    /// What that means for a user; empty if there is nothing to say.
    pub means: String,
    /// What to do; empty if there is nothing to do.
    pub advice: String,
}

impl Finding {
    pub fn found(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            state: State::Found,
            needed: false,
            found: found.into(),
            means: String::new(),
            advice: String::new(),
        }
    }

    pub fn lacking(
        state: State,
        what: impl Into<String>,
        found: impl Into<String>,
        means: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            state,
            means: means.into(),
            advice: advice.into(),
            ..Self::found(what, found)
        }
    }

    pub fn needed(mut self) -> Self {
        self.needed = true;
        self
    }

    pub fn meaning(mut self, means: impl Into<String>) -> Self {
        self.means = means.into();
        self
    }

    /// For a person: one line, and the rest below it where something is not as it should be.
    pub fn line(&self, terminal: bool, wide: bool) -> String {
        let mark = match (self.state, terminal) {
            (State::Found, true) => "✓",
            (State::Limited, true) => "!",
            (State::Missing, true) => "✗",
            (State::Unknown, true) => "?",
            (State::Found, false) => "found    ",
            (State::Limited, false) => "limited  ",
            (State::Missing, false) => "missing  ",
            (State::Unknown, false) => "unknown  ",
        };
        let mut text = format!("{mark} {:<24} {}\n", self.what, clean(&self.found))
            .trim_end()
            .to_owned()
            + "\n";
        let indent = if terminal { "  " } else { "          " };
        if self.state != State::Found || wide {
            for (before, what) in [("", &self.means), ("→ ", &self.advice)] {
                if !what.is_empty() {
                    text.push_str(&format!("{indent}{:<24} {before}{}\n", "", clean(what)));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_explained_and_what_is_right_is_one_line() {
        let right = Finding::found("tar", "/bin/tar").meaning("uploads");
        assert_eq!(right.line(true, false), "✓ tar                      /bin/tar\n");
        let wrong = Finding::lacking(State::Missing, "tar", "", "nothing can be uploaded", "ask the site").needed();
        assert_eq!(wrong.line(false, false).lines().count(), 3);
        assert!(wrong.line(false, false).starts_with("missing   tar\n"));
    }
}
