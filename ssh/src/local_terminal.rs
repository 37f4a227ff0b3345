//! A process of this machine on a terminal of its own.

use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use pty_process::{OwnedReadPty, Pty};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::process::Child;
use tokio::sync::watch;

use crate::command::Command;
use crate::error::Error;
use crate::local::NAME;
use crate::terminal::{Size, Terminal};

/// Our end of a terminal.
pub struct Opened {
    /// Both directions.
    pub pty: Pty,
    /// Sets its size.
    pub size: watch::Sender<Size>,
}

/// Starts a command as the leader of a session on a new terminal.
///
/// # Errors
/// [`Error::NotStarted`], [`Error::Invalid`].
pub fn spawn(command: &Command, terminal: &Terminal) -> Result<(Child, Opened), Error> {
    let text = command.to_shell()?;
    let start = || -> Result<(Child, Opened), Box<dyn std::error::Error>> {
        let (pty, other_side) = pty_process::open()?;
        // Of either side, it is the other side's modes that are set.
        let mut modes = tcgetattr(&pty)?;
        modes.make_raw();
        tcsetattr(&pty, OptionalActions::Now, &modes)?;
        let own = pty.as_fd().try_clone_to_owned()?;
        resize(&own, terminal.size)?;
        let child = pty_process::Command::new("/bin/sh")
            .arg("-c")
            .arg(text)
            .env("TERM", &terminal.kind)
            .spawn(other_side)?;
        let (size, mut sizes) = watch::channel(terminal.size);
        tokio::spawn(async move {
            while sizes.changed().await.is_ok() {
                let size = *sizes.borrow_and_update();
                // An error means that the terminal is gone.
                let _ = resize(&own, size);
            }
        });
        Ok((child, Opened { pty, size }))
    };
    start().map_err(|error| Error::NotStarted {
        host: NAME.to_owned(),
        why: format!("{} on a terminal: {error}", command.summary()),
    })
}

fn resize(terminal: &OwnedFd, size: Size) -> Result<(), Errno> {
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size)
}

/// What a terminal shows. Where the kernel says that nobody is on its other side any more, that is its end.
pub struct ReadTerminal(pub OwnedReadPty);

impl AsyncRead for ReadTerminal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match Pin::new(&mut self.0).poll_read(context, buffer) {
            Poll::Ready(Err(error)) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Poll::Ready(Ok(())),
            other => other,
        }
    }
}
