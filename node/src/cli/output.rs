//! Listings: aligned for people, complete for programs.

use std::io::Write;

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// With more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// The option `-o`.
#[derive(Debug, Args)]
pub struct Output {
    /// How to print it
    #[arg(short, long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

impl Output {
    pub fn wide(&self) -> bool {
        self.output == Some(Format::Wide)
    }

    /// For a program if that was asked for, else for a person.
    pub fn print<T: Serialize>(&self, value: &T, table: impl FnOnce() -> String) -> anyhow::Result<()> {
        let text = match self.output {
            Some(Format::Json) => serde_json::to_string_pretty(value).context("failed to write JSON")? + "\n",
            Some(Format::Yaml) => serde_saphyr::to_string(value).context("failed to write YAML")?,
            None | Some(Format::Wide) => table(),
        };
        print(&text)
    }
}

/// Writes to standard output.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(())
}

/// A table with a head, the columns aligned by spaces; the last one is free.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|text| text.chars().count()).collect();
    for row in rows {
        for (width, text) in widths.iter_mut().zip(row) {
            *width = (*width).max(text.chars().count());
        }
    }
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|text| (*text).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (width, text) in widths.iter().zip(row) {
            let pad = width + 3 - text.chars().count();
            line.push_str(&clean(text));
            line.extend(std::iter::repeat_n(' ', pad));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Text of others on a terminal: nothing that would move a cursor.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// An age as kubectl writes it: its largest unit, or two of them while that says more.
pub fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 != 0 => format!("{}m{}s", seconds / 60, seconds % 60),
        120..7200 => format!("{}m", seconds / 60),
        7200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_harmless() {
        let rows = [
            vec!["a".to_owned(), "b\u{1b}[2J".to_owned()],
            vec!["long one".to_owned(), String::new()],
        ];
        assert_eq!(table(&["X", "Y"], &rows), "X          Y\na          b [2J\nlong one\n");
    }

    #[test]
    fn ages_read_as_in_kubectl() {
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (125, "2m5s"),
            (3600, "60m"),
            (7200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(seconds), text);
        }
    }
}
