//! What is sent to a client.

use std::io;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::headers::Packing;
use super::{CONTROL, FIN, kind};
use crate::streaming::Activity;
use crate::streaming::pipe::Out;

/// Bytes that are put together before they are written.
const TOGETHER: usize = 64 << 10;

/// Writes until there is nothing more to write.
///
/// # Errors
/// The connection is gone.
pub async fn write(
    mut io: impl AsyncWrite + Unpin,
    mut out: mpsc::Receiver<Out>,
    activity: Activity,
) -> io::Result<()> {
    let mut packing = Packing::new()?;
    let mut frames = Vec::with_capacity(TOGETHER);
    let mut pings = 0_u32;
    while let Some(first) = out.recv().await {
        let mut next = Some(first);
        let mut last = false;
        while let Some(frame) = next {
            last = matches!(frame, Out::Last(..));
            if !matches!(frame, Out::Ping | Out::Pong(_)) {
                activity.note();
            }
            if frame == Out::Ping {
                pings = pings % (i32::MAX as u32 / 2) + 1;
            }
            put(&mut frames, frame, &mut packing, pings * 2)?;
            next = match last || frames.len() >= TOGETHER {
                true => None,
                false => out.try_recv().ok(),
            };
        }
        io.write_all(&frames).await?;
        io.flush().await?;
        frames.clear();
        if last {
            break;
        }
    }
    Ok(())
}

fn put(frames: &mut Vec<u8>, frame: Out, packing: &mut Packing, ping: u32) -> io::Result<()> {
    let mut control = |kind: u16, words: &[u32], rest: &[u8]| {
        frames.extend_from_slice(&CONTROL.to_be_bytes());
        frames.extend_from_slice(&kind.to_be_bytes());
        frames.extend_from_slice(&((words.len() * 4 + rest.len()) as u32).to_be_bytes());
        frames.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        frames.extend_from_slice(rest);
    };
    match frame {
        Out::Reply(id) => control(kind::SYN_REPLY, &[id], &packing.none()?),
        Out::Reset(id, status) => control(kind::RST_STREAM, &[id, status], &[]),
        Out::Pong(id) => control(kind::PING, &[id], &[]),
        Out::Ping => control(kind::PING, &[ping], &[]),
        Out::Last(id, status) => control(kind::GOAWAY, &[id, status], &[]),
        Out::Data(id, bytes) => {
            frames.extend_from_slice(&id.to_be_bytes());
            // The length has three bytes; no piece comes near their limit.
            frames.extend_from_slice(&(bytes.len() as u32 & 0xff_ffff).to_be_bytes());
            frames.extend_from_slice(&bytes);
        }
        Out::Fin(id) => {
            frames.extend_from_slice(&id.to_be_bytes());
            frames.extend_from_slice(&[FIN, 0, 0, 0]);
        }
    }
    Ok(())
}
