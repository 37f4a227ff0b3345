//! Quoting for a POSIX shell: any text without NUL becomes one word that no shell looks into.

/// Quotes a word. A word of harmless characters stays readable as it is.
///
/// The result is for a POSIX `sh` only. It may contain newlines; csh and fish read it differently.
pub fn quote(word: &str) -> String {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"_-./:,=@%+".contains(&b);
    if !word.is_empty() && word.bytes().all(harmless) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len() + 2);
    out.push('\'');
    for piece in word.split_inclusive('\'') {
        match piece.strip_suffix('\'') {
            Some(before) => {
                out.push_str(before);
                out.push_str("'\\''");
            }
            None => out.push_str(piece),
        }
    }
    out.push('\'');
    out
}

/// A name that a shell can assign and export.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(quote("/usr/bin/true"), "/usr/bin/true");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote("~"), "'~'");
    }

    #[test]
    fn identifiers_are_told_from_other_names() {
        assert!(is_identifier("_A1") && !is_identifier("1A") && !is_identifier("a.b") && !is_identifier(""));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_shell_gives_the_words_back(words in proptest::collection::vec("[^\0]{0,40}", 0..5)) {
            let mut line = String::from("for word in \"$@\"; do printf '%s\\0' \"$word\"; done");
            line.insert_str(0, &format!("set -- {}; ", words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")));
            let expected: String = words.iter().map(|word| format!("{word}\0")).collect();
            for shell in [&["sh"][..], &["dash"], &["bash"], &["busybox", "sh"]] {
                let output = std::process::Command::new(shell[0]).args(&shell[1..]).args(["-c", &line]).output();
                let output = output.unwrap_or_else(|error| panic!("{} is needed by this test: {error}", shell[0]));
                prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), expected.clone(), "{:?}", shell);
            }
        }
    }
}
