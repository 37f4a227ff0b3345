//! Sessions and logs, counted on their way.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::StreamExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use towline_cluster::{Error, LogIndex, LogRange};
use towline_kubelet_api::{LogSource, LogStream, Place, Session, Sessions, Streams};
use towline_ssh::Duplex;
use towline_ssh::remote::{Reader, Writer};

use super::metrics::Metrics;

/// Passes everything on, and tells the metrics how many sessions are open and how many bytes go through them.
pub struct Counted<T> {
    /// What is counted.
    pub inner: T,
    /// Who is told.
    pub metrics: Arc<Metrics>,
}

impl<T> Counted<T> {
    fn opened(&self, kind: &'static str) -> Open {
        let gauge = self.metrics.sessions(kind);
        gauge.inc();
        Open(gauge)
    }

    fn session(&self, kind: &'static str, session: Session) -> Session {
        let open = self.opened(kind);
        let counter = |direction| self.metrics.bytes(kind, direction);
        let exit = session.exit;
        Session {
            stdin: session
                .stdin
                .map(|inner| Box::pin(one_way(inner, counter("in"))) as Writer),
            stdout: session
                .stdout
                .map(|inner| Box::pin(one_way(inner, counter("out"))) as Reader),
            stderr: session
                .stderr
                .map(|inner| Box::pin(one_way(inner, counter("out"))) as Reader),
            size: session.size,
            exit: Box::pin(async move {
                let _open = open;
                exit.await
            }),
        }
    }
}

#[async_trait]
impl<T: Sessions> Sessions for Counted<T> {
    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> Result<Session, Error> {
        let session = self.inner.exec(place, command, streams).await?;
        Ok(self.session("exec", session))
    }

    async fn attach(&self, place: &Place, streams: Streams) -> Result<Session, Error> {
        let session = self.inner.attach(place, streams).await?;
        Ok(self.session("attach", session))
    }

    async fn connect(&self, place: &Place, port: u16) -> Result<Box<dyn Duplex>, Error> {
        const KIND: &str = "port_forward";
        let inner = self.inner.connect(place, port).await?;
        Ok(Box::new(Counting {
            inner,
            read: self.metrics.bytes(KIND, "out"),
            written: self.metrics.bytes(KIND, "in"),
            _open: Some(self.opened(KIND)),
        }))
    }
}

#[async_trait]
impl<T: LogSource> LogSource for Counted<T> {
    async fn index(&self, uid: &str, container: &str, run: i64) -> Result<LogIndex, Error> {
        self.inner.index(uid, container, run).await
    }

    async fn open(&self, uid: &str, container: &str, range: LogRange) -> Result<LogStream, Error> {
        let open = self.opened("log");
        let bytes = self.metrics.bytes("log", "out");
        let stream = self.inner.open(uid, container, range).await?;
        Ok(stream
            .inspect(move |piece| {
                let _open = &open;
                bytes.inc_by(piece.as_ref().map_or(0, |piece| piece.len() as u64));
            })
            .boxed())
    }
}

/// Something that is open, for as long as this is there.
struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A stream of which each byte is counted.
struct Counting<S> {
    inner: S,
    read: Counter,
    written: Counter,
    _open: Option<Open>,
}

/// One direction of a session.
fn one_way<S>(inner: S, bytes: Counter) -> Counting<S> {
    Counting {
        inner,
        read: bytes.clone(),
        written: bytes,
        _open: None,
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counting<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        self.read.inc_by((buffer.filled().len() - before) as u64);
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counting<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.inner).poll_write(context, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.written.inc_by(count as u64);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
