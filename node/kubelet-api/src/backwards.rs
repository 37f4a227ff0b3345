//! Where lines begin, found from the end of a log without reading all of it.

use memchr::memrchr_iter;

/// A search for the beginning of a line, fed with the parts of a log from its end towards its beginning.
#[derive(Debug)]
pub struct Backwards {
    /// So many newlines have still to be passed.
    newlines: u64,
    /// The last byte has not been seen yet, and a newline there belongs to the last line.
    at_end: bool,
}

impl Backwards {
    /// For the last so many lines; what has no newline at the end is a line as well.
    pub fn last_lines(lines: u64) -> Self {
        Self {
            newlines: lines,
            at_end: true,
        }
    }

    /// For the line that goes on at the end, if one does.
    pub fn unfinished_line() -> Self {
        Self {
            newlines: 1,
            at_end: false,
        }
    }

    /// Takes the part that begins at `start` and ends where the part before began. Returns the place that was looked
    /// for, if it lies in this part; if all parts have passed, it is the log's beginning.
    pub fn feed(&mut self, start: u64, part: &[u8]) -> Option<u64> {
        let last = part.last()?;
        if std::mem::take(&mut self.at_end) {
            if self.newlines == 0 {
                return Some(start + part.len() as u64);
            }
            self.newlines += u64::from(*last == b'\n');
        }
        for at in memrchr_iter(b'\n', part) {
            self.newlines -= 1;
            if self.newlines == 0 {
                return Some(start + at as u64 + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(mut search: Backwards, text: &[u8], window: usize) -> u64 {
        let mut end = text.len();
        while end > 0 {
            let start = end.saturating_sub(window);
            if let Some(found) = search.feed(start as u64, &text[start..end]) {
                return found;
            }
            end = start;
        }
        0
    }

    #[test]
    fn the_last_lines_begin_where_tail_says() {
        for (text, lines, start) in [
            ("a\nb\n", 0, 4),
            ("a\nb\n", 1, 2),
            ("a\nb\n", 2, 0),
            ("a\nb\n", 3, 0),
            ("a\nb", 1, 2),
            ("a\nb", 2, 0),
            ("\n\n\n", 1, 2),
            ("\n\n\n", 2, 1),
            ("", 1, 0),
            ("ab", 1, 0),
        ] {
            for window in 1..5 {
                let found = find(Backwards::last_lines(lines), text.as_bytes(), window);
                assert_eq!(found, start, "{text:?} {lines} by {window}");
            }
        }
    }

    #[test]
    fn an_unfinished_line_begins_behind_the_last_newline() {
        for (text, start) in [("a\nbc", 2), ("a\n", 2), ("abc", 0), ("", 0)] {
            for window in 1..5 {
                assert_eq!(find(Backwards::unfinished_line(), text.as_bytes(), window), start);
            }
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_splitting(text in "[ab\n]{0,40}", lines in 0u64..12, window in 1usize..9) {
            let all: Vec<&str> = text.split_inclusive('\n').collect();
            let last = &all[all.len().saturating_sub(lines as usize)..];
            let length: usize = last.iter().map(|line| line.len()).sum();
            let found = find(Backwards::last_lines(lines), text.as_bytes(), window);
            prop_assert_eq!(found as usize, text.len() - length);
        }
    }
}
