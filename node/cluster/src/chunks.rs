//! Lists of arguments in pieces that every command line can carry.

/// Bytes of arguments in one call. The limit of a single word is 128 KiB on Linux, and a whole command travels as one.
const LIMIT: usize = 48 << 10;

/// Splits a list so that the words of each piece, quoted and separated, stay below the limit. An empty list is one empty
/// piece: a call without names is a call as well.
pub(crate) fn chunks(words: &[String]) -> Vec<&[String]> {
    let mut found = Vec::new();
    let (mut from, mut size) = (0, 0);
    for (at, word) in words.iter().enumerate() {
        let cost = word.len() + 3;
        if size + cost > LIMIT && at > from {
            found.push(&words[from..at]);
            (from, size) = (at, 0);
        }
        size += cost;
    }
    found.push(&words[from..]);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_small_and_together_the_whole() {
        let words: Vec<String> = (0..5000)
            .map(|n| format!("6f0c9a2e-1f7e-4c55-9f1d-0d8a6a3f{n:04}"))
            .collect();
        let pieces = chunks(&words);
        assert!(pieces.len() > 3);
        assert!(
            pieces
                .iter()
                .all(|piece| piece.iter().map(|word| word.len() + 3).sum::<usize>() <= LIMIT)
        );
        assert_eq!(pieces.concat(), words);
    }

    #[test]
    fn no_words_are_one_piece() {
        assert_eq!(chunks(&[]), [&[] as &[String]]);
    }
}
