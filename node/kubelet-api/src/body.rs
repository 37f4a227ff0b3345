//! A log on its way to the client: times before its lines, a limit, and an end that cannot be mistaken.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use tracing::warn;

use crate::answer::BoxError;
use crate::logs::LogStream;
use crate::stamps::Stamps;

/// How long the last words have to leave before the connection is cut.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// What is done to a log on its way.
pub struct Shape {
    /// Times before lines.
    pub stamps: Option<Stamps>,
    /// So many bytes may still leave, times included.
    pub limit: Option<u64>,
}

struct State {
    log: LogStream,
    shape: Shape,
    in_line: bool,
    cut: Option<BoxError>,
}

/// The log as the client gets it. If it is cut, the client is told twice: by words in a line of their own, since the API
/// server passes on what it has and ends it well, and by an error, which ends the answer in the middle.
pub fn body(log: LogStream, shape: Shape) -> impl Stream<Item = Result<Bytes, BoxError>> + Send {
    let state = State {
        log,
        shape,
        in_line: false,
        cut: None,
    };
    futures::stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        if let Some(error) = state.cut {
            tokio::time::sleep(LAST_WORDS).await;
            return Some((Err(error), None));
        }
        if state.shape.limit == Some(0) {
            return None;
        }
        match state.log.next().await? {
            Ok(piece) => {
                let piece = state.shape.apply(piece);
                state.in_line = piece.last().map_or(state.in_line, |last| *last != b'\n');
                Some((Ok(piece), Some(state)))
            }
            Err(error) => {
                warn!("a log was cut on its way to a client: {error}");
                let newline = if state.in_line { "\n" } else { "" };
                // One line, whatever the far side had to say, and also if it had nothing to say.
                let why = error.to_string().replace('\n', " ");
                let words = format!(
                    "{newline}towline: the log was cut here: {}\n",
                    why.trim_end_matches([':', ' '])
                );
                state.cut = Some(error.into());
                Some((Ok(words.into()), Some(state)))
            }
        }
    })
}

impl Shape {
    fn apply(&mut self, piece: Bytes) -> Bytes {
        let mut piece = match &mut self.stamps {
            Some(stamps) => stamps.weave(&piece, Timestamp::now().as_second()).into(),
            None => piece,
        };
        if let Some(limit) = &mut self.limit {
            piece.truncate(usize::try_from(*limit).unwrap_or(usize::MAX));
            *limit -= piece.len() as u64;
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use towline_cluster::{Error, LogIndex};

    fn log(pieces: &[&'static str], error: bool) -> LogStream {
        let mut all: Vec<Result<Bytes, Error>> = pieces
            .iter()
            .map(|piece| Ok(Bytes::from_static(piece.as_bytes())))
            .collect();
        if error {
            all.push(Err(Error::Invalid("the link was lost".to_owned())));
        }
        futures::stream::iter(all).boxed()
    }

    async fn of(log: LogStream, shape: Shape) -> (String, bool) {
        let (mut text, mut whole) = (Vec::new(), true);
        let mut body = std::pin::pin!(body(log, shape));
        while let Some(piece) = body.next().await {
            match piece {
                Ok(piece) => text.extend_from_slice(&piece),
                Err(_) => whole = false,
            }
        }
        (String::from_utf8(text).unwrap(), whole)
    }

    fn limited(limit: Option<u64>) -> Shape {
        Shape { stamps: None, limit }
    }

    #[tokio::test]
    async fn a_whole_log_ends_well() {
        let (text, whole) = of(log(&["a\n", "b"], false), limited(None)).await;
        assert_eq!((text.as_str(), whole), ("a\nb", true));
    }

    #[tokio::test]
    async fn a_log_that_is_cut_says_so_in_words_and_does_not_end_well() {
        for (pieces, before) in [(&["a\n", "b"][..], "a\nb\n"), (&["a\n"], "a\n"), (&[], "")] {
            let (text, whole) = of(log(pieces, true), limited(None)).await;
            let words = "towline: the log was cut here: the link was lost\n";
            assert_eq!((text, whole), (format!("{before}{words}"), false));
        }
    }

    #[tokio::test]
    async fn a_limit_is_kept_to_the_byte_and_nothing_behind_it_matters() {
        let pieces = &["abc", "def"];
        for (limit, expected) in [(1, "a"), (3, "abc"), (4, "abcd"), (6, "abcdef")] {
            let (text, whole) = of(log(pieces, true), limited(Some(limit))).await;
            assert_eq!((text.as_str(), whole), (expected, true));
        }
    }

    #[tokio::test]
    async fn a_limit_counts_the_times_as_well() {
        let shape = Shape {
            stamps: Some(Stamps::new(
                LogIndex {
                    ended: true,
                    rows: vec![(1, 3)],
                    ..LogIndex::default()
                },
                0,
            )),
            limit: Some(32),
        };
        let (text, _) = of(log(&["abc\n"], false), shape).await;
        assert_eq!(text, "1970-01-01T00:00:01.000000000Z a");
    }
}
