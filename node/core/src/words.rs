//! The two file formats of a pod's directory: *words* (a list of strings) and *pairs* (`key=value` lines).
//!
//! Both are defined in `remote-scripts/README.md`. They exist so that a POSIX shell can read arbitrary bytes without
//! evaluating any of them and without starting a process per word.

/// A string that the formats cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unrepresentable {
    /// Words carry every byte but NUL, as every argument and environment entry on Unix.
    #[error("{0:?} contains a NUL byte, which no argument, environment variable or file name can carry")]
    Nul(String),
    /// A value of a pair is one line.
    #[error("the value of {key} contains a line break or a NUL byte: {value:?}")]
    Multiline {
        /// The key.
        key: String,
        /// The value as it was given.
        value: String,
    },
}

/// Encodes a list of strings: `=` starts a word, `+` continues it after a newline.
///
/// # Errors
/// A word that contains a NUL byte.
pub fn encode<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Result<Vec<u8>, Unrepresentable> {
    let mut out = Vec::new();
    for word in words {
        let word = word.as_ref();
        if word.contains('\0') {
            return Err(Unrepresentable::Nul(excerpt(word)));
        }
        let mut mark = b'=';
        for line in word.split('\n') {
            out.push(mark);
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
            mark = b'+';
        }
    }
    Ok(out)
}

/// Decodes a word list. `None` if it is not one (a line with another mark, no final newline, not UTF-8).
pub fn decode(bytes: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(bytes).ok()?;
    if text.is_empty() {
        return Some(Vec::new());
    }
    let mut words: Vec<String> = Vec::new();
    for line in text.strip_suffix('\n')?.split('\n') {
        if let Some(first) = line.strip_prefix('=') {
            words.push(first.to_owned());
        } else {
            let word = words.last_mut()?;
            word.push('\n');
            word.push_str(line.strip_prefix('+')?);
        }
    }
    Some(words)
}

/// Encodes `key=value` lines. Keys are ours and therefore trusted.
///
/// # Errors
/// A value with a line break or NUL.
pub fn pairs<V: AsRef<str>>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> Result<Vec<u8>, Unrepresentable> {
    let mut out = Vec::new();
    for (key, value) in pairs {
        let value = value.as_ref();
        if value.contains(['\n', '\r', '\0']) {
            return Err(Unrepresentable::Multiline {
                key: key.to_owned(),
                value: excerpt(value),
            });
        }
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
        out.push(b'\n');
    }
    Ok(out)
}

/// At most 80 characters of a text, for an error message.
pub fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_word_with_newlines_takes_several_rows() {
        assert_eq!(encode(["a", "", "b\nc\n"]).unwrap(), b"=a\n=\n=b\n+c\n+\n");
    }

    #[test]
    fn what_cannot_be_carried_is_refused() {
        assert!(matches!(encode(["a\0b"]), Err(Unrepresentable::Nul(_))));
        assert!(matches!(pairs([("k", "a\nb")]), Err(Unrepresentable::Multiline { .. })));
    }

    proptest! {
        #[test]
        fn words_survive(words in proptest::collection::vec("[^\0]*", 0..8)) {
            prop_assert_eq!(decode(&encode(&words).unwrap()), Some(words));
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
