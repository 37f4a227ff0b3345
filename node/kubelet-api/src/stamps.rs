//! Times before lines, woven into a log as it passes.
//!
//! A line's time is that of the first row of the log's index at which its first byte was there; the index has whole
//! seconds. What is newer than the index, as when a log is followed, has the second in which it came by here. No time is
//! before that of a line above it.

use std::io::Write;

use jiff::Timestamp;
use memchr::memchr;
use towline_cluster::LogIndex;

/// Weaves times into a log that passes in pieces.
#[derive(Debug)]
pub struct Stamps {
    rows: Vec<(i64, u64)>,
    /// The time of what is behind the last row of a log that does not grow any more.
    behind: Option<i64>,
    /// The first row that may lie behind `at`.
    row: usize,
    at: u64,
    in_line: bool,
    second: i64,
    text: String,
}

impl Stamps {
    /// For a log that is read from `start` on, which must be the beginning of a line.
    pub fn new(index: LogIndex, start: u64) -> Self {
        Self {
            behind: index.rows.last().map(|row| row.0).filter(|_| index.ended),
            rows: index.rows,
            row: 0,
            at: start,
            in_line: false,
            second: i64::MIN,
            text: String::new(),
        }
    }

    /// The next piece with its times. `now`: seconds since 1970.
    pub fn weave(&mut self, piece: &[u8], now: i64) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 2);
        let mut rest = piece;
        while !rest.is_empty() {
            if !self.in_line {
                self.stamp(now, &mut out);
            }
            let newline = memchr(b'\n', rest);
            let (line, next) = rest.split_at(newline.map_or(rest.len(), |at| at + 1));
            out.extend_from_slice(line);
            self.in_line = newline.is_none();
            self.at += line.len() as u64;
            rest = next;
        }
        out
    }

    fn stamp(&mut self, now: i64, out: &mut Vec<u8>) {
        while self.rows.get(self.row).is_some_and(|row| row.1 <= self.at) {
            self.row += 1;
        }
        let known = self.rows.get(self.row).map(|row| row.0).or(self.behind);
        let second = known.unwrap_or(now).max(self.second);
        if second != self.second || self.text.is_empty() {
            let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            self.second = second;
            self.text = format!("{time:.9} ");
        }
        // Writing into memory does not fail.
        let _ = out.write_all(self.text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(rows: &[(i64, u64)], ended: bool) -> LogIndex {
        LogIndex {
            run: 0,
            size: rows.last().map_or(0, |row| row.1),
            ended,
            rows: rows.to_vec(),
        }
    }

    fn woven(index: LogIndex, start: u64, pieces: &[&str]) -> String {
        let mut stamps = Stamps::new(index, start);
        let out: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| stamps.weave(piece.as_bytes(), 50))
            .collect();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_the_time_at_which_its_first_byte_was_there() {
        let index = index(&[(10, 0), (11, 2), (12, 5), (13, 6)], true);
        let expected = "1970-01-01T00:00:11.000000000Z a\n\
                        1970-01-01T00:00:12.000000000Z b\n\
                        1970-01-01T00:00:12.000000000Z c\n";
        assert_eq!(woven(index.clone(), 0, &["a\nb\nc\n"]), expected);
        assert_eq!(woven(index.clone(), 0, &["a", "\nb", "\n", "", "c\n"]), expected);
        assert_eq!(woven(index, 2, &["b\nc\n"]), expected[33..]);
    }

    #[test]
    fn what_is_newer_than_the_index_has_the_time_at_which_it_came() {
        let grows = index(&[(10, 0), (11, 2)], false);
        assert_eq!(
            woven(grows, 0, &["a\nb\n"]),
            "1970-01-01T00:00:11.000000000Z a\n1970-01-01T00:00:50.000000000Z b\n"
        );
        let ended = index(&[(10, 0), (11, 2)], true);
        assert!(woven(ended, 2, &["b\n"]).starts_with("1970-01-01T00:00:11"));
        assert!(woven(LogIndex::default(), 0, &["b"]).starts_with("1970-01-01T00:00:50"));
    }

    #[test]
    fn times_never_go_back() {
        let index = index(&[(20, 2), (10, 4)], true);
        assert_eq!(
            woven(index, 0, &["a\nb\n"]),
            "1970-01-01T00:00:20.000000000Z a\n1970-01-01T00:00:20.000000000Z b\n"
        );
    }

    #[test]
    fn an_impossible_time_is_no_panic() {
        let text = woven(index(&[(i64::MAX, 9)], true), 0, &["a\n"]);
        assert!(text.ends_with("Z a\n"), "{text}");
    }

    proptest! {
        #[test]
        fn behind_each_time_is_its_line_unchanged(
            lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            cuts in proptest::collection::vec(1usize..7, 1..20),
            rows in proptest::collection::vec((0i64..99, 0u64..99), 0..9),
        ) {
            let text = lines.join(&b'\n');
            let mut stamps = Stamps::new(index(&rows, false), 0);
            let (mut out, mut rest, mut cuts) = (Vec::new(), &text[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, next) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
                out.extend(stamps.weave(piece, 50));
                rest = next;
            }
            let stamp = "1970-01-01T00:00:50.000000000Z ".len();
            let mut before = Vec::new();
            let mut plain = Vec::new();
            for line in out.split_inclusive(|byte| *byte == b'\n') {
                let (time, line) = line.split_at(stamp);
                prop_assert!(before.as_slice() <= time);
                before = time.to_vec();
                plain.extend_from_slice(line);
            }
            prop_assert_eq!(plain, text);
        }
    }
}
