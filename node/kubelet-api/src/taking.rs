//! An end for connections whose other side does not take what is sent to it, while its kernel goes on answering.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection of which something has to be taken now and then.
#[derive(Debug)]
pub struct Taking<S> {
    inner: S,
    limit: Duration,
    /// Until when, while something waits to be taken.
    waits: Option<Pin<Box<Sleep>>>,
}

impl<S> Taking<S> {
    /// What is written fails once nothing has been taken for so long.
    pub fn within(limit: Duration, inner: S) -> Self {
        Self {
            inner,
            limit,
            waits: None,
        }
    }

    fn wrote<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waits = None;
            return polled;
        }
        let limit = self.limit;
        let waits = self.waits.get_or_insert_with(|| Box::pin(sleep(limit)));
        waits.as_mut().poll(context).map(|()| {
            let words = format!("the other side has taken nothing for {} s", limit.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, words))
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Taking<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Taking<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.wrote(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.wrote(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LIMIT: Duration = Duration::from_secs(100);

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_little_now_and_then_is_waited_for_and_who_takes_nothing_is_not() {
        let (near, mut far) = duplex(10);
        let mut near = Taking::within(LIMIT, near);
        let writing = tokio::spawn(async move { near.write_all(&[7; 100]).await });
        for _ in 0..5 {
            tokio::time::sleep(LIMIT - Duration::from_secs(1)).await;
            far.read_exact(&mut [0; 10]).await.unwrap();
        }
        let taken = tokio::time::Instant::now();
        let error = writing.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(taken.elapsed().as_secs(), LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_no_fault() {
        let (near, mut far) = duplex(10);
        let mut near = Taking::within(LIMIT, near);
        near.write_all(b"a").await.unwrap();
        tokio::time::sleep(LIMIT * 9).await;
        near.write_all(b"b").await.unwrap();
        far.write_all(b"c").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'c');
        far.read_exact(&mut [0; 2]).await.unwrap();
    }
}
