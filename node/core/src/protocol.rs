//! The line protocol in which `remote-scripts/` answer: `towline␟1`, rows, `end␟N`.
//!
//! An answer is used whole or not at all: a lost link, a full disk or a banner in the middle must never look like a
//! short but valid list (invariant 1: a failed look is not an empty cluster).

/// The contract's version that this build speaks.
pub const VERSION: &str = "1";

/// Field separator: the ASCII unit separator.
pub const SEPARATOR: char = '\u{1f}';

/// Why an answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAnswer {
    /// There is no `towline␟…` line at all.
    #[error("no answer: the output has no `towline` line; it begins with {0:?}")]
    NoHeader(String),
    /// The other side speaks another version.
    #[error("the scripts speak version {0:?} of the contract, this build speaks {VERSION}")]
    Version(String),
    /// The trailer is missing: the output was cut.
    #[error("the answer was cut after {0} lines: its `end` line is missing")]
    Cut(usize),
    /// The trailer counts other lines than arrived.
    #[error("the answer has {arrived} lines but says that it has {claimed:?}")]
    Count {
        /// Lines that arrived before the trailer.
        arrived: usize,
        /// What the trailer says.
        claimed: String,
    },
    /// A row that does not fit the contract.
    #[error("row {row:?} of the answer does not fit the contract: {why}")]
    Row {
        /// The row, shortened.
        row: String,
        /// What is wrong with it.
        why: String,
    },
}

/// One row: its kind and its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<'a> {
    fields: Vec<&'a str>,
}

impl<'a> Row<'a> {
    /// Splits a line into its fields.
    pub fn parse(line: &'a str) -> Self {
        Self {
            fields: line.split(SEPARATOR).collect(),
        }
    }

    /// The row's first field: what it says.
    pub fn kind(&self) -> &'a str {
        self.fields[0]
    }

    /// Field `n`, counted from 1 behind the kind.
    ///
    /// # Errors
    /// The row is too short.
    pub fn field(&self, n: usize) -> Result<&'a str, BadAnswer> {
        self.fields
            .get(n)
            .copied()
            .ok_or_else(|| self.bad(format!("field {n} is missing")))
    }

    /// Field `n`, where `-` and an empty field mean that there is no value.
    ///
    /// # Errors
    /// The row is too short.
    pub fn optional(&self, n: usize) -> Result<Option<&'a str>, BadAnswer> {
        Ok(Some(self.field(n)?).filter(|value| !matches!(*value, "-" | "")))
    }

    /// Field `n` as a number.
    ///
    /// # Errors
    /// The row is too short or the field is not a number.
    pub fn number<T: std::str::FromStr>(&self, n: usize) -> Result<T, BadAnswer> {
        let text = self.field(n)?;
        text.parse()
            .map_err(|_| self.bad(format!("field {n} is {text:?}, not a number")))
    }

    /// Field `n` as a number, or `-`.
    ///
    /// # Errors
    /// The row is too short or the field is neither.
    pub fn optional_number<T: std::str::FromStr>(&self, n: usize) -> Result<Option<T>, BadAnswer> {
        self.optional(n)?.map(|_| self.number(n)).transpose()
    }

    /// Everything from field `n` on, as it stood: the free text at a row's end.
    pub fn rest(&self, n: usize) -> String {
        self.fields.get(n..).unwrap_or_default().join("\u{1f}")
    }

    /// An error about this row.
    pub fn bad(&self, why: impl Into<String>) -> BadAnswer {
        BadAnswer::Row {
            row: crate::words::excerpt(&self.fields.join("␟")),
            why: why.into(),
        }
    }
}

/// The rows between header and trailer of a complete answer.
///
/// Lines before the header are noise of the site (banners) and are passed over.
///
/// # Errors
/// Anything but a complete answer in our version.
pub fn rows(output: &str) -> Result<Vec<Row<'_>>, BadAnswer> {
    let mut lines = output.lines().skip_while(|line| !line.starts_with("towline\u{1f}"));
    let Some(header) = lines.next() else {
        return Err(BadAnswer::NoHeader(crate::words::excerpt(output.trim_start())));
    };
    let version = Row::parse(header).rest(1);
    if version != VERSION {
        return Err(BadAnswer::Version(version));
    }
    let mut found = Vec::new();
    for line in lines {
        let row = Row::parse(line);
        if row.kind() == "end" {
            let arrived = found.len() + 1;
            let claimed = row.rest(1);
            return if claimed == arrived.to_string() {
                Ok(found)
            } else {
                Err(BadAnswer::Count { arrived, claimed })
            };
        }
        found.push(row);
    }
    Err(BadAnswer::Cut(found.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_complete_answer_is_its_rows() {
        let found = rows("Welcome to the cluster!\ntowline\u{1f}1\na\u{1f}b\u{1f}-\nend\u{1f}2\n").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].kind(), "a");
        assert_eq!(found[0].optional(2).unwrap(), None);
    }

    #[test]
    fn a_cut_answer_is_no_answer() {
        assert_eq!(rows("towline\u{1f}1\na\n"), Err(BadAnswer::Cut(2)));
        assert!(matches!(
            rows("towline\u{1f}1\nend\u{1f}2\n"),
            Err(BadAnswer::Count { .. })
        ));
        assert!(matches!(
            rows("towline\u{1f}2\nend\u{1f}1\n"),
            Err(BadAnswer::Version(_))
        ));
        assert!(matches!(rows("bash: no such file\n"), Err(BadAnswer::NoHeader(_))));
    }

    proptest! {
        #[test]
        fn every_cut_is_noticed(texts in proptest::collection::vec("[a-z\u{1f} -]{0,12}", 0..6), cut in 0usize..200) {
            let mut whole = String::from("towline\u{1f}1\n");
            for text in &texts {
                whole.push_str("row\u{1f}");
                whole.push_str(text);
                whole.push('\n');
            }
            whole.push_str(&format!("end\u{1f}{}\n", texts.len() + 1));
            prop_assert_eq!(rows(&whole).unwrap().len(), texts.len());
            // Only the very last newline may be missing.
            let cut = cut.min(whole.len() - 2);
            if whole.is_char_boundary(cut) {
                prop_assert!(rows(&whole[..cut]).is_err());
            }
        }

        #[test]
        fn noise_never_panics(text in "\\PC*") {
            let _ = rows(&text);
        }
    }
}
