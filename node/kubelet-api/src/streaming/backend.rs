//! The seam to where containers run: commands in them, their own streams, and their ports.

use std::time::Duration;

use async_trait::async_trait;
use bytes::BufMut;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use towline_cluster::Error;
use towline_ssh::remote::{Reader, Writer};
use towline_ssh::{Duplex, ExitStatus, Size};

/// How long the outputs of a process that has ended may be silent before they are given up: it may have left children that
/// hold them open for ever.
const SILENT: Duration = Duration::from_secs(5);

/// A container that runs, by what the API knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's UID: the one thing by which the cluster knows it.
    pub uid: String,
    /// The container's name.
    pub container: String,
}

/// Which streams a client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streams {
    /// What the process reads.
    pub stdin: bool,
    /// What it writes.
    pub stdout: bool,
    /// What it complains about; never together with `tty`, where both are one.
    pub stderr: bool,
    /// A terminal of its own.
    pub tty: bool,
}

/// A process in a container with its streams. Dropping all of it ends the process, or, if it was attached to, lets go of it.
pub struct Session {
    /// What it reads, if asked for. Shutting it down (or dropping it) ends its input.
    pub stdin: Option<Writer>,
    /// What it writes, if asked for. It ends when everything has been read; a reader that stops holds the process up.
    pub stdout: Option<Reader>,
    /// What it complains about, likewise.
    pub stderr: Option<Reader>,
    /// The size of its terminal; the last one counts. `None` without a terminal.
    pub size: Option<watch::Sender<Size>>,
    /// Its end: how it ended, or an error if that is not known (the link was lost, the job ended under it). Both outputs
    /// have to be read meanwhile and may still have something to be read afterwards. It holds the process: dropping it ends
    /// the process on the far side.
    pub exit: BoxFuture<'static, Result<ExitStatus, Error>>,
}

/// Reads more of an output of a [`Session`]. False if there is no more: it has ended, or its process has (`ended` is
/// cancelled then) and it has been silent for a while since.
pub async fn read_output(
    from: &mut (impl AsyncRead + Unpin),
    into: &mut impl BufMut,
    ended: &CancellationToken,
) -> bool {
    tokio::select! {
        read = from.read_buf(into) => matches!(read, Ok(1..)),
        () = async { ended.cancelled().await; sleep(SILENT).await } => false,
    }
}

/// Where containers run.
#[async_trait]
pub trait Sessions: Send + Sync {
    /// Starts a command in a container that runs. No word of it is interpreted by a shell.
    ///
    /// # Errors
    /// [`Error::exit_code`] is 66 if the container does not run (any more). Nothing was started then, nor if
    /// [`Error::outcome_unknown`] is false.
    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> Result<Session, Error>;

    /// The streams of a container's own process from now on. It goes on when the session is dropped.
    ///
    /// # Errors
    /// As [`Self::exec`]; also if this container cannot be attached to in this way, with words why.
    async fn attach(&self, place: &Place, streams: Streams) -> Result<Session, Error>;

    /// A connection to a port of the pod, made from where the pod runs. `place.container` is empty.
    ///
    /// # Errors
    /// Nothing listens there, the pod does not run (exit code 66), or it cannot be reached.
    async fn connect(&self, place: &Place, port: u16) -> Result<Box<dyn Duplex>, Error>;
}
