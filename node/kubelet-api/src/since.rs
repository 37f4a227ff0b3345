//! From when on: the place in a log at which a moment lies, by the log's index.

use jiff::Timestamp;

/// How much later than its time a row's size may have been taken, in seconds: the rest of its own second, and one more
/// because the supervisor reads the clock first. What lies nearer than that to the moment is shown rather than lost.
const SLACK: i64 = 2;

/// The offset before which everything was certainly written before `since`. `rows` are an index's: at this time (seconds
/// since 1970) the log was so many bytes long.
pub fn offset(rows: &[(i64, u64)], since: Timestamp) -> u64 {
    let before = |row: &&(i64, u64)| {
        let whole = row.0.saturating_add(SLACK);
        (whole, 0) <= (since.as_second(), since.subsec_nanosecond())
    };
    // Up to the first row that may be late enough: clocks are set back sometimes.
    rows.iter().take_while(before).last().map_or(0, |row| row.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const ROWS: [(i64, u64); 4] = [(100, 0), (101, 10), (102, 25), (110, 40)];

    #[test]
    fn only_what_was_certainly_written_before_is_left_out() {
        for (since, offset_then) in [(0, 0), (101, 0), (102, 0), (103, 10), (104, 25), (111, 25), (112, 40)] {
            assert_eq!(offset(&ROWS, at(since)), offset_then, "since {since}");
        }
        assert_eq!(offset(&ROWS, "1970-01-01T00:01:42.9Z".parse().unwrap()), 0);
        assert_eq!(offset(&ROWS, Timestamp::MIN), 0);
        assert_eq!(offset(&ROWS, Timestamp::MAX), 40);
        assert_eq!(offset(&[], at(100)), 0);
    }

    #[test]
    fn a_clock_that_was_set_back_loses_nothing() {
        assert_eq!(offset(&[(100, 5), (200, 10), (50, 20)], at(150)), 5);
    }

    proptest! {
        #[test]
        fn a_byte_of_that_second_or_later_is_never_left_out(
            steps in proptest::collection::vec((1i64..5, 1u64..50), 0..20),
            since in 0i64..120,
        ) {
            let mut rows = Vec::new();
            let (mut time, mut size) = (10, 0);
            for (seconds, bytes) in steps {
                time += seconds;
                size += bytes;
                rows.push((time, size));
            }
            let start = offset(&rows, at(since));
            // The first byte behind a row is at most as old as that row says.
            for (time, size) in rows {
                prop_assert!(time < since || start < size);
            }
        }

        #[test]
        fn no_index_is_too_strange(rows in proptest::collection::vec(any::<(i64, u64)>(), 0..9), since in -1000i64..1000) {
            offset(&rows, at(since));
        }
    }
}
