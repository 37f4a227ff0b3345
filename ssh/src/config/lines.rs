//! Configuration files as a list of conditional lines, with what they include in its place.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Includes deeper than this are a circle; OpenSSH's own limit.
const DEPTH: usize = 16;

/// One line below its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Lower case.
    pub keyword: String,
    /// The words after it, without quotes.
    pub words: Vec<String>,
    /// All of them have to match: the block that the line stands in, and the blocks that its file is included from.
    pub conditions: Vec<Condition>,
    /// File and line, for messages.
    pub place: String,
}

/// What a block's head asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `Host` with its patterns.
    Host(Vec<String>),
    /// `Match` with its words.
    Match(Vec<String>),
}

/// Reads a file and what it includes. `optional`: a file that does not exist is empty.
///
/// # Errors
/// A file that exists and cannot be read, or includes in a circle.
pub fn read(path: &Path, home: &Path, optional: bool) -> Result<Vec<Line>, Error> {
    let mut out = Vec::new();
    read_into(path, home, optional, &[], DEPTH, &mut out)?;
    Ok(out)
}

fn read_into(
    path: &Path,
    home: &Path,
    optional: bool,
    outer: &[Condition],
    depth: usize,
    out: &mut Vec<Line>,
) -> Result<(), Error> {
    let failed = |why: String| Error::Invalid(format!("failed to read {}: {why}", path.display()));
    if depth == 0 {
        return Err(failed(format!("includes are nested more than {DEPTH} times")));
    }
    let text = match std::fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if optional && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error.to_string())),
    };
    let mut conditions = outer.to_vec();
    for (index, line) in text.lines().enumerate() {
        let place = format!("{}:{}", path.display(), index + 1);
        let Some((keyword, words)) = split(line) else { continue };
        match keyword.as_str() {
            "host" | "match" => {
                conditions = outer.to_vec();
                conditions.push(if keyword == "host" {
                    Condition::Host(words)
                } else {
                    Condition::Match(words)
                });
            }
            "include" => {
                for word in &words {
                    for file in included(word, path, home) {
                        read_into(&file, home, true, &conditions, depth - 1, out)?;
                    }
                }
            }
            _ => out.push(Line {
                keyword,
                words,
                conditions: conditions.clone(),
                place,
            }),
        }
    }
    Ok(())
}

/// Relative names are below `~/.ssh` for a user's files and below `/etc/ssh` for the system's.
fn included(word: &str, from: &Path, home: &Path) -> Vec<PathBuf> {
    let base = if from.starts_with("/etc/ssh") {
        PathBuf::from("/etc/ssh")
    } else {
        home.join(".ssh")
    };
    let pattern = match word.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => base.join(word),
    };
    let files = glob::glob(&pattern.to_string_lossy());
    files.into_iter().flatten().filter_map(Result::ok).collect()
}

/// Keyword and words; `None` for an empty line or a comment. An equals sign may stand after the keyword.
fn split(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let rest = line[end..].trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((line[..end].to_lowercase(), words(rest)))
}

/// Words with double or single quotes; a `#` at the beginning of a word ends the line.
fn words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        if chars.peek().is_none_or(|c| *c == '#') {
            return out;
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match (c, quote) {
                ('\\', _) if chars.peek().is_some_and(|next| matches!(next, '"' | '\'' | '\\')) => {
                    word.extend(chars.next());
                }
                ('"' | '\'', None) => quote = Some(c),
                (c, Some(open)) if c == open => quote = None,
                (c, _) => word.push(c),
            }
        }
        out.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_be_written_in_each_of_openssh_s_ways() {
        let line = |text| split(text).unwrap();
        let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(line("  User alice "), ("user".into(), words(&["alice"])));
        assert_eq!(line("User=alice"), ("user".into(), words(&["alice"])));
        assert_eq!(line("User = alice # why"), ("user".into(), words(&["alice"])));
        assert_eq!(line("Host a \"b c\" '!d'"), ("host".into(), words(&["a", "b c", "!d"])));
        assert_eq!(line(r#"User "a\"b""#), ("user".into(), words(&["a\"b"])));
        assert_eq!(line("ProxyJump"), ("proxyjump".into(), vec![]));
        assert_eq!((split("# x"), split("   ")), (None, None));
    }

    #[test]
    fn what_a_file_includes_stands_below_the_block_that_includes_it() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        std::fs::create_dir_all(ssh.join("d")).unwrap();
        std::fs::write(ssh.join("d/1"), "User one\nHost b\nPort 1\n").unwrap();
        std::fs::write(ssh.join("d/2"), "User two\n").unwrap();
        std::fs::write(
            ssh.join("config"),
            "Host a\nInclude d/*\nPort 2\nInclude ~/.ssh/missing\n",
        )
        .unwrap();
        let lines = read(&ssh.join("config"), home.path(), false).unwrap();
        let host = |name: &str| Condition::Host(vec![name.to_owned()]);
        let got: Vec<_> = lines
            .iter()
            .map(|line| (line.keyword.as_str(), line.words[0].as_str(), line.conditions.clone()))
            .collect();
        assert_eq!(
            got,
            [
                ("user", "one", vec![host("a")]),
                ("port", "1", vec![host("a"), host("b")]),
                ("user", "two", vec![host("a")]),
                ("port", "2", vec![host("a")]),
            ]
        );
    }

    #[test]
    fn includes_in_a_circle_are_an_error() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("config");
        std::fs::write(&file, format!("Include {}\n", file.display())).unwrap();
        assert!(matches!(read(&file, home.path(), false), Err(Error::Invalid(_))));
    }
}
