//! Processes and TCP connections as byte streams, each pumped by its own task between a channel and bounded pipes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, duplex, split};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::channel::{Handles, Running, STDERR, next};
use crate::client::describe;
use crate::command::{Command, ExitStatus};
use crate::connection::Connection;
use crate::error::Error;
use crate::frame::{Frame, Token};
use crate::launch;
use crate::remote::{Duplex, Process, ProcessHandle};
use crate::terminal::Size;

/// How much of each output is held for a slow reader before its connection waits for it, in bytes.
pub const PIPE: usize = 1 << 20;

/// How much is read from a writer at once.
const CHUNK: usize = 64 << 10;

/// Starts a process on a channel. `lease` is held until that is closed.
///
/// # Errors
/// See [`Error`].
pub async fn open<L: Send + 'static>(
    channel: Channel<Msg>,
    connection: Arc<Connection>,
    lease: L,
    command: &Command,
    deadline: Instant,
) -> Result<Process, Error> {
    let token = Token::random();
    let line = launch::command(command, &token)?;
    let frames = (
        Frame::to_the_end(&token, usize::MAX),
        Frame::to_the_end(&token, usize::MAX),
    );
    let terminal = command.terminal.as_ref();
    let begun = Running::begin(channel, connection, &token, frames, command.summary(), terminal);
    let (mut running, read) = begun.await?;
    running.grace = command.grace;
    let (stdin, input) = duplex(PIPE);
    let (stdout, out) = duplex(PIPE);
    let (stderr, err) = duplex(PIPE);
    tokio::spawn(pump_process(read, running.clone(), out, err, lease));
    let begun = async {
        if running.write.data_bytes(line.into_bytes()).await.is_err() {
            return Err(running.unknown());
        }
        let begun = running.progress.until(|state| match state {
            _ if state.refused => Some(Err(running.not_started(state))),
            _ if state.stdout.begun().is_some() => Some(Ok(())),
            _ if state.status.is_some() => Some(Err(running.not_started(state))),
            _ if state.closed => Some(Err(running.unknown())),
            _ => None,
        });
        begun.await
    };
    let begun = tokio::time::timeout_at(deadline, begun).await;
    begun.unwrap_or_else(|_| {
        Err(Error::timed_out(
            &running.connection.name,
            command.summary(),
            command.timeout,
        ))
    })?;
    tokio::spawn(feed(split(input).0, Arc::clone(&running.write)));
    let size = terminal.map(|terminal| {
        let (sender, sizes) = watch::channel(terminal.size);
        tokio::spawn(resize(sizes, Arc::clone(&running.write)));
        sender
    });
    Ok(Process {
        size,
        stdin: Some(Box::pin(stdin)),
        stdout: Box::pin(stdout),
        stderr: Box::pin(stderr),
        handle: Box::new(RemoteProcess { running }),
    })
}

/// Tells the far side each new size of a terminal.
async fn resize(mut sizes: watch::Receiver<Size>, write: Arc<ChannelWriteHalf<Msg>>) {
    while sizes.changed().await.is_ok() {
        let Size { columns, rows } = *sizes.borrow_and_update();
        if write
            .window_change(u32::from(columns), u32::from(rows), 0, 0)
            .await
            .is_err()
        {
            return;
        }
    }
}

struct RemoteProcess {
    running: Running,
}

#[async_trait]
impl ProcessHandle for RemoteProcess {
    async fn wait(&mut self) -> Result<ExitStatus, Error> {
        let running = &self.running;
        let ended = running.progress.until(|state| match &state.status {
            Some(status) => Some(Ok(status.clone())),
            None => state.closed.then(|| Err(running.unknown())),
        });
        ended.await
    }

    async fn kill(&mut self) {
        self.running.end().await;
    }
}

/// Moves what a process writes into its pipes, behind the marks.
async fn pump_process<L>(mut read: ChannelReadHalf, handles: Handles, out: DuplexStream, err: DuplexStream, lease: L) {
    let (mut out, mut err) = (Some(out), Some(err));
    let progress = &handles.progress;
    while let Some(message) = next(&mut read, &handles.stop).await {
        let (body, pipe) = match message {
            ChannelMsg::Data { data } if progress.state().stdout.passes() => (data, &mut out),
            ChannelMsg::ExtendedData { data, ext: STDERR } if progress.state().stderr.passes() => (data, &mut err),
            message => {
                progress.take(&message);
                match message {
                    ChannelMsg::Data { .. } => (progress.state().stdout.take().into(), &mut out),
                    ChannelMsg::ExtendedData { ext: STDERR, .. } => (progress.state().stderr.take().into(), &mut err),
                    ChannelMsg::Eof => {
                        (out, err) = (None, None);
                        continue;
                    }
                    _ => continue,
                }
            }
        };
        hand_over(pipe, &body, &handles.discard).await;
    }
    progress.close();
    drop(lease);
}

/// Writes into a pipe; one that nobody reads any more swallows everything.
async fn hand_over<W: AsyncWrite + Unpin>(pipe: &mut Option<W>, body: &[u8], discard: &CancellationToken) {
    let Some(writer) = pipe else { return };
    let written = tokio::select! {
        biased;
        () = discard.cancelled() => false,
        result = writer.write_all(body) => result.is_ok(),
    };
    if !written {
        *pipe = None;
    }
}

/// Moves what a caller writes into the channel, and its end.
async fn feed(mut from: ReadHalf<DuplexStream>, write: Arc<ChannelWriteHalf<Msg>>) {
    loop {
        let mut chunk = BytesMut::with_capacity(CHUNK);
        match from.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => break,
            // An error is the channel's end; who reads the other direction learns it there.
            Ok(_) if write.data_bytes(Bytes::from(chunk)).await.is_err() => return,
            Ok(_) => {}
        }
    }
    let _ = write.eof().await;
}

/// Lets the far side make a TCP connection. `lease` is held until its channel is closed.
///
/// # Errors
/// [`Error::Connect`] names the address that was not reached.
pub async fn connect<L: Send + 'static>(
    connection: &Connection,
    lease: L,
    host: &str,
    port: u16,
) -> Result<Box<dyn Duplex>, Error> {
    let opened = connection
        .handle
        .channel_open_direct_tcpip(host, u32::from(port), "127.0.0.1", 0)
        .await;
    let channel = opened.map_err(|error| Error::Connect {
        host: format!("{host}:{port} from {}", connection.name),
        why: match error {
            russh::Error::ChannelOpenFailure(russh::ChannelOpenFailure::AdministrativelyProhibited) => {
                "the host does not allow forwarding (AllowTcpForwarding, PermitOpen)".to_owned()
            }
            other => describe(&other),
        },
    })?;
    let (read, write) = channel.split();
    let write = Arc::new(write);
    let (theirs, ours) = duplex(PIPE);
    let (input, output) = split(ours);
    let gone = CancellationToken::new();
    let ended = Arc::new(AtomicBool::new(false));
    tokio::spawn(pump_connection(read, output, gone.clone(), Arc::clone(&ended), lease));
    tokio::spawn(feed(input, Arc::clone(&write)));
    Ok(Box::new(Forward {
        host: connection.name.clone(),
        stream: theirs,
        ended,
        gone,
        write,
    }))
}

async fn pump_connection<L, W: AsyncWrite + Unpin>(
    mut read: ChannelReadHalf,
    output: W,
    gone: CancellationToken,
    ended: Arc<AtomicBool>,
    lease: L,
) {
    let mut output = Some(output);
    while let Some(message) = next(&mut read, &gone).await {
        match message {
            ChannelMsg::Data { data } => hand_over(&mut output, &data, &gone).await,
            ChannelMsg::Eof => {
                ended.store(true, Ordering::Release);
                if let Some(output) = &mut output {
                    // The reader is gone if this fails.
                    let _ = output.shutdown().await;
                }
            }
            _ => {}
        }
    }
    if let Some(output) = &mut output {
        let _ = output.shutdown().await;
    }
    drop(lease);
}

/// The caller's end of a forwarded connection; dropping it closes the channel.
struct Forward {
    host: String,
    stream: DuplexStream,
    /// The far side has said that it will say no more. Without that, no more comes because the link is gone.
    ended: Arc<AtomicBool>,
    gone: CancellationToken,
    write: Arc<ChannelWriteHalf<Msg>>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.gone.cancel();
        let write = Arc::clone(&self.write);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // An error means that it is closed already.
                let _ = write.close().await;
            });
        }
    }
}

impl tokio::io::AsyncRead for Forward {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let (room, before) = (buffer.remaining(), buffer.filled().len());
        let read = std::pin::Pin::new(&mut self.stream).poll_read(context, buffer);
        let nothing = matches!(read, std::task::Poll::Ready(Ok(()))) && room > 0 && buffer.filled().len() == before;
        if nothing && !self.ended.load(Ordering::Acquire) {
            let why = format!("the link to {} was lost before the connection ended", self.host);
            return std::task::Poll::Ready(Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, why)));
        }
        read
    }
}

impl AsyncWrite for Forward {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        data: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
