//! Between a process of the far side and this program's own streams.

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use towline_kubelet_api::{Session, read_output};
use towline_ssh::ExitStatus;

use super::terminal::{Raw, sizes};
use crate::cli::run::code;

/// How much is read at once.
const CHUNK: usize = 128 << 10;

/// Carries all streams of a session until its process has ended, and gives its exit code. In a terminal, `tty`, what is
/// typed is the process's own business; otherwise an interrupt ends both.
///
/// # Errors
/// Nobody knows how the process ended, or nobody reads what it writes.
pub async fn carry(session: Session, tty: bool) -> anyhow::Result<u8> {
    let mut interrupts = Interrupts::listen()?;
    let raw = if tty { Some(Raw::begin()?) } else { None };
    let Session {
        stdin,
        stdout,
        stderr,
        size,
        exit,
    } = session;
    let ended = CancellationToken::new();
    let exit = async {
        let status = exit.await;
        ended.cancel();
        anyhow::Ok(status?)
    };
    let outputs = async {
        tokio::try_join!(
            output(stdout, tokio::io::stdout(), &ended),
            output(stderr, tokio::io::stderr(), &ended)
        )
    };
    // These end with the process, not the process with them.
    let inputs = async {
        tokio::join!(
            async {
                if let Some(mut stdin) = stdin {
                    // What cannot be written any more is not wanted any more.
                    if copy(&mut tokio::io::stdin(), &mut stdin).await.is_ok() {
                        let _ = stdin.shutdown().await;
                    }
                }
            },
            async {
                if let Some(size) = size {
                    sizes(size).await;
                }
            }
        );
        std::future::pending().await
    };
    let ended = tokio::select! {
        ended = async { tokio::try_join!(exit, outputs) } => ended.map(|(status, _)| status),
        code = interrupts.next() => return Ok(code),
        // Never.
        ended = inputs => ended,
    };
    drop(raw);
    match ended? {
        ExitStatus::Code(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        ExitStatus::Signal(name) => bail!("the command was ended by signal {name}"),
    }
}

/// Writes out an output until it ends, or until its process has ended and it has been silent since.
async fn output(
    from: Option<impl AsyncRead + Unpin>,
    mut to: impl AsyncWrite + Unpin,
    ended: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = Vec::with_capacity(CHUNK);
    while read_output(&mut from, &mut buffer, ended).await {
        to.write_all(&buffer).await?;
        to.flush().await?;
        buffer.clear();
    }
    Ok(())
}

/// Everything that can be read, at once.
///
/// # Errors
/// Reading or writing failed.
pub async fn copy(from: &mut (impl AsyncRead + Unpin), to: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await? {
            0 => return Ok(()),
            size => {
                to.write_all(&buffer[..size]).await?;
                to.flush().await?;
            }
        }
    }
}

/// Ctrl-C, TERM and the terminal's end.
pub struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Interrupts {
    /// From now on.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for one; the exit code that goes with it.
    pub async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => code::CANCELLED,
            _ = self.terminate.recv() => code::TERMINATED,
            _ = self.hangup.recv() => code::TERMINATED,
        }
    }
}
