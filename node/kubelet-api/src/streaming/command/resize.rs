//! Sizes of a terminal as a client sends them: one JSON object behind the other.

use serde::Deserialize;
use tokio::sync::watch;
use towline_ssh::Size;

use crate::streaming::pipe::Inlet;

/// Bytes without a whole size in them, at most.
const LARGEST: usize = 4 << 10;

#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "Width", alias = "width")]
    columns: u16,
    #[serde(rename = "Height", alias = "height")]
    rows: u16,
}

/// Passes on each size until the client sends no more, or something else.
pub async fn follow(mut from: Inlet, to: watch::Sender<Size>) {
    let mut text = Vec::new();
    while let Some(piece) = from.next().await {
        text.extend_from_slice(&piece);
        let mut sizes = serde_json::Deserializer::from_slice(&text).into_iter::<Sent>();
        let mut last = None;
        let broken = loop {
            match sizes.next() {
                Some(Ok(size)) => last = Some(size),
                Some(Err(error)) => break !error.is_eof(),
                None => break false,
            }
        };
        let read = sizes.byte_offset();
        text.drain(..read);
        if let Some(Sent { columns, rows }) = last {
            to.send_replace(Size { columns, rows });
        }
        if broken || text.len() > LARGEST {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streaming::pipe::{Budget, incoming};

    async fn sent(pieces: &[&'static str]) -> (u16, u16) {
        let (arrival, inlet) = incoming(&Budget::new());
        for piece in pieces {
            arrival.put(bytes::Bytes::from_static(piece.as_bytes())).await;
        }
        drop(arrival);
        let (sender, receiver) = watch::channel(Size { columns: 0, rows: 0 });
        follow(inlet, sender).await;
        let size = *receiver.borrow();
        (size.columns, size.rows)
    }

    #[tokio::test]
    async fn the_last_size_counts_wherever_it_is_cut() {
        assert_eq!(sent(&[r#"{"Width":80,"Height":24}"#]).await, (80, 24));
        assert_eq!(
            sent(&[r#"{"Width":80,"Heig"#, r#"ht":24}{"Width":1,"Height":2}"#]).await,
            (1, 2)
        );
        assert_eq!(sent(&["{\"width\":3,\"height\":4}\n", "\n{\"Wid"]).await, (3, 4));
    }

    #[tokio::test]
    async fn what_is_no_size_changes_nothing() {
        assert_eq!(
            sent(&[r#"{"Width":80,"Height":24}x{"Width":1,"Height":2}"#]).await,
            (80, 24)
        );
        assert_eq!(sent(&[r#"{"Width":-1,"Height":24}"#]).await, (0, 0));
        assert_eq!(sent(&["", "[", "]"]).await, (0, 0));
    }
}
