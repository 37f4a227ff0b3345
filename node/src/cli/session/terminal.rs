//! This program's own terminal, handed over to a process of the far side.

use std::io::{IsTerminal, stdin};

use anyhow::Context;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use towline_ssh::Size;

/// Whether a terminal that is asked for can be had: it takes one of our own, and what is typed there. As with kubectl, a
/// warning is all that there is otherwise.
pub fn wanted(input: bool, asked: bool) -> bool {
    if !asked || !input {
        return false;
    }
    let there = stdin().is_terminal();
    if !there {
        eprintln!("Unable to use a TTY - input is not a terminal or the right kind of file");
    }
    there
}

/// The terminal passes on every byte as it is typed, Ctrl-C included, until this is dropped.
pub struct Raw(Termios);

impl Raw {
    /// From now on.
    ///
    /// # Errors
    /// It is no terminal.
    pub fn begin() -> anyhow::Result<Self> {
        let failed = "failed to set the modes of the terminal";
        let before = tcgetattr(stdin()).context(failed)?;
        let mut modes = before.clone();
        modes.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &modes).context(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // An error means that the terminal is gone.
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.0);
    }
}

/// Passes on the terminal's size, now and whenever it changes.
pub async fn sizes(to: watch::Sender<Size>) {
    let Ok(mut changed) = signal(SignalKind::window_change()) else {
        return;
    };
    loop {
        if let Ok(size) = tcgetwinsize(stdin()) {
            to.send_replace(Size {
                columns: size.ws_col,
                rows: size.ws_row,
            });
        }
        if changed.recv().await.is_none() {
            return;
        }
    }
}
