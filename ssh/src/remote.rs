//! The seam: what the rest of a program knows of the far side.

use std::pin::Pin;
use std::time::SystemTime;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::command::{Command, ExitStatus, Output};
use crate::error::Error;
use crate::terminal::Size;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A stream that can be written.
pub type Writer = Pin<Box<dyn AsyncWrite + Send>>;
/// A stream that can be read.
pub type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// Whether the far side can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Nobody has asked for anything yet.
    Idle,
    /// Connected.
    Up {
        /// Since when.
        since: SystemTime,
    },
    /// Not connected; it is tried again.
    Down {
        /// Since when.
        since: SystemTime,
        /// What came back last.
        why: String,
    },
    /// Not connected, and not tried again until a person has done something.
    Blocked {
        /// What to do.
        why: String,
    },
}

/// How a [`Process`] is waited for and ended; each kind of far side has its own.
#[async_trait]
pub trait ProcessHandle: Send {
    /// Waits for the end.
    async fn wait(&mut self) -> Result<ExitStatus, Error>;
    /// Ends it.
    async fn kill(&mut self);
}

/// A process of the far side with its streams. Dropping it ends it.
pub struct Process {
    /// What it reads; closing it ends its input.
    pub stdin: Option<Writer>,
    /// What it writes.
    pub stdout: Reader,
    /// What it complains about; nothing if it has a terminal.
    pub stderr: Reader,
    /// The size of its terminal, if it has one: what is sent here is what the terminal becomes.
    pub size: Option<watch::Sender<Size>>,
    pub(crate) handle: Box<dyn ProcessHandle>,
}

impl Process {
    /// Waits for its end. Its outputs have to be read meanwhile, or it may never end.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if the link was lost first.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.handle.wait().await
    }

    /// Ends it now.
    pub async fn kill(&mut self) {
        self.handle.kill().await;
    }
}

/// A host on which commands run.
#[async_trait]
pub trait Remote: Send + Sync + std::fmt::Debug {
    /// A short command, one at a time, at the smallest possible cost. It has no standard input.
    ///
    /// # Errors
    /// See [`Error`]; a command that fails is not an error but an [`ExitStatus`].
    async fn shell(&self, command: Command) -> Result<Output, Error>;

    /// A command beside others, its input sent whole and its outputs collected.
    ///
    /// # Errors
    /// See [`Error`]; a command that fails is not an error but an [`ExitStatus`].
    async fn run(&self, command: Command) -> Result<Output, Error>;

    /// A process with streams, kept apart from the short commands so that a slow reader delays none of them.
    ///
    /// # Errors
    /// See [`Error`].
    async fn open(&self, command: Command) -> Result<Process, Error>;

    /// A TCP connection that the far side makes.
    ///
    /// # Errors
    /// See [`Error`].
    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Duplex>, Error>;

    /// Whether it can be reached, as it changes.
    fn link(&self) -> watch::Receiver<LinkState>;

    /// What to call it in messages.
    fn name(&self) -> String;

    /// Ends all connections. Another call opens them again.
    async fn close(&self);
}
