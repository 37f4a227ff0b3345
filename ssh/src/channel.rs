//! One command on a connection: the channel, how it is started, and how it is ended without leaving a process behind.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelOpenFailure, ChannelReadHalf, ChannelWriteHalf, Pty, Sig};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::describe;
use crate::command::ExitStatus;
use crate::connection::Connection;
use crate::error::Error;
use crate::frame::{Frame, Token};
use crate::launch;
use crate::terminal::Terminal;

/// Hosts give the slot of an ended channel free a little later (`MaxSessions`).
const RETRY: Duration = Duration::from_millis(50);

/// How long a signal may take to show before the process is looked for.
const SIGNAL_TIMEOUT: Duration = Duration::from_millis(500);

/// How long looking for a process may take.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a host may take to close the channel of a process that is gone.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// A terminal begins raw, so that what is sent to start a command is neither echoed nor cut at the length of a line.
const RAW: [(Pty, u32); 7] = [
    (Pty::ICANON, 0),
    (Pty::ECHO, 0),
    (Pty::ISIG, 0),
    (Pty::IEXTEN, 0),
    (Pty::ICRNL, 0),
    (Pty::IXON, 0),
    (Pty::OPOST, 0),
];

/// Extended data of this type is standard error (RFC 4254, 5.2).
pub const STDERR: u32 = 1;

/// What a command has written so far, and how it ended.
#[derive(Debug)]
pub struct State {
    pub stdout: Frame,
    pub stderr: Frame,
    pub status: Option<ExitStatus>,
    /// The host did not start it.
    pub refused: bool,
    /// Nothing more will come.
    pub closed: bool,
}

/// The state of a command, filled by a task of its own so that no channel is ever left unread.
#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    changed: Notify,
}

impl Progress {
    /// Nothing has come yet.
    pub fn new(stdout: Frame, stderr: Frame) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                stdout,
                stderr,
                status: None,
                refused: false,
                closed: false,
            }),
            changed: Notify::new(),
        })
    }

    /// The state; never held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the state gives an answer. One waiter at a time.
    pub async fn until<T>(&self, mut answer: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            if let Some(found) = answer(&mut self.state()) {
                return found;
            }
            self.changed.notified().await;
        }
    }

    /// Takes a message of the channel.
    pub fn take(&self, message: &ChannelMsg) {
        let mut state = self.state();
        match message {
            ChannelMsg::Data { data } => state.stdout.push(data),
            ChannelMsg::ExtendedData { data, ext: STDERR } => state.stderr.push(data),
            ChannelMsg::ExitStatus { exit_status } => state.status = Some(ExitStatus::Code(*exit_status)),
            ChannelMsg::ExitSignal { signal_name, .. } => state.status = Some(ExitStatus::Signal(name_of(signal_name))),
            ChannelMsg::Failure => state.refused = true,
            _ => return,
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The channel has ended.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_one();
    }

    /// Reads a channel to its end.
    pub async fn drain(self: Arc<Self>, mut channel: ChannelReadHalf, stop: CancellationToken) {
        while let Some(message) = next(&mut channel, &stop).await {
            self.take(&message);
        }
        self.close();
    }
}

/// The next message of a channel, unless it is to be left. The library says nothing more of a channel that we close
/// first, not even that it is closed.
pub async fn next(channel: &mut ChannelReadHalf, stop: &CancellationToken) -> Option<ChannelMsg> {
    tokio::select! {
        message = channel.wait() => message,
        () = stop.cancelled() => None,
    }
}

fn name_of(signal: &Sig) -> String {
    match signal {
        Sig::Custom(name) => name.clone(),
        other => format!("{other:?}"),
    }
}

/// Opens a session channel, again and again until there is a slot or the time is up.
///
/// # Errors
/// [`Error::NotStarted`]; [`Error::Connect`] if the link is gone.
pub async fn open_session(connection: &Connection, deadline: Instant) -> Result<Channel<Msg>, Error> {
    loop {
        match connection.handle.channel_open_session().await {
            Ok(channel) => return Ok(channel),
            Err(russh::Error::ChannelOpenFailure(
                ChannelOpenFailure::ConnectFailed | ChannelOpenFailure::ResourceShortage,
            )) if Instant::now() + RETRY < deadline => tokio::time::sleep(RETRY).await,
            Err(error @ russh::Error::ChannelOpenFailure(_)) => {
                return Err(Error::NotStarted {
                    host: connection.name.clone(),
                    why: format!(
                        "{}; MaxSessions may be too low, it should be 6 or more",
                        describe(&error)
                    ),
                });
            }
            Err(_) => {
                return Err(Error::Connect {
                    host: connection.name.clone(),
                    why: connection.why(),
                });
            }
        }
    }
}

/// A command on a channel.
#[derive(Clone, Debug)]
pub struct Handles {
    pub connection: Arc<Connection>,
    pub progress: Arc<Progress>,
    pub write: Arc<ChannelWriteHalf<Msg>>,
    /// Asks the task that reads the channel to throw away what comes: nobody waits for it any more.
    pub discard: CancellationToken,
    /// Asks it to stop reading.
    pub stop: CancellationToken,
    /// The command, for messages.
    pub what: String,
    /// How long it may take to end by itself.
    pub grace: Option<Duration>,
}

/// A command that is ended when it is dropped, if it has not ended.
#[derive(Debug)]
pub struct Running(Handles);

impl Deref for Running {
    type Target = Handles;
    fn deref(&self) -> &Handles {
        &self.0
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Handles {
        &mut self.0
    }
}

impl Running {
    /// Asks the host to start the launcher. Nothing of the command has been sent when this fails.
    ///
    /// # Errors
    /// [`Error::NotStarted`] or [`Error::Connect`].
    pub async fn launch(
        connection: Arc<Connection>,
        token: &Token,
        frames: (Frame, Frame),
        what: String,
        deadline: Instant,
    ) -> Result<(Self, ChannelReadHalf), Error> {
        let channel = tokio::time::timeout_at(deadline, open_session(&connection, deadline));
        let channel = channel.await.unwrap_or_else(|_| {
            Err(Error::NotStarted {
                host: connection.name.clone(),
                why: format!("the time was up before {what} got a channel"),
            })
        })?;
        Self::begin(channel, connection, token, frames, what, None).await
    }

    /// The same on a channel that is open, with a terminal if there is to be one.
    ///
    /// # Errors
    /// [`Error::NotStarted`].
    pub async fn begin(
        channel: Channel<Msg>,
        connection: Arc<Connection>,
        token: &Token,
        frames: (Frame, Frame),
        what: String,
        terminal: Option<&Terminal>,
    ) -> Result<(Self, ChannelReadHalf), Error> {
        let (read, write) = channel.split();
        tracing::trace!(host = connection.name, ?token, what, "starting");
        let running = Self(Handles {
            progress: Progress::new(frames.0, frames.1),
            write: Arc::new(write),
            discard: CancellationToken::new(),
            stop: CancellationToken::new(),
            connection,
            what,
            grace: None,
        });
        let asked = async {
            if let Some(Terminal { kind, size }) = terminal {
                let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
                running.write.request_pty(true, kind, columns, rows, 0, 0, &RAW).await?;
            }
            running.write.exec(true, launch::LAUNCHER).await
        };
        match asked.await {
            Ok(()) => Ok((running, read)),
            Err(error) => Err(Error::NotStarted {
                host: running.connection.name.clone(),
                why: describe(&error),
            }),
        }
    }
}

impl Handles {
    /// The error of a command that ended, or was refused, before it began.
    pub fn not_started(&self, state: &State) -> Error {
        let how = match (&state.status, state.refused) {
            (_, true) => "the host refused to start a command, or a terminal for it (PermitTTY)".to_owned(),
            (Some(status), _) => format!("the login shell ended with {status} before {} began", self.what),
            (None, _) => format!("the login shell ended before {} began", self.what),
        };
        let said = [state.stdout.noise(), state.stderr.noise()].join(" ");
        let said = said.trim();
        Error::NotStarted {
            host: self.connection.name.clone(),
            why: if said.is_empty() {
                how
            } else {
                format!("{how}, and said: {said}")
            },
        }
    }

    /// The error of a command whose end nobody saw.
    pub fn unknown(&self) -> Error {
        let why = match self.connection.is_closed() {
            true => self.connection.why(),
            false => "its channel was closed without an exit status".to_owned(),
        };
        Error::OutcomeUnknown {
            host: self.connection.name.clone(),
            what: self.what.clone(),
            why,
        }
    }

    /// Its process id on the far side, once it has begun.
    fn process(&self) -> Option<u32> {
        self.progress.state().stdout.begun()?.parse().ok()
    }

    fn has_ended(&self) -> bool {
        let state = self.progress.state();
        state.status.is_some() || state.closed
    }

    /// Ends the command and all processes of its group, and gives its channel free.
    pub async fn end(&self) {
        self.discard.cancel();
        if let Some(grace) = self.grace {
            self.signal(Sig::TERM, "TERM").await;
            self.ends_within(grace).await;
        }
        self.signal(Sig::KILL, "KILL").await;
        let closed = self.progress.until(|state| state.closed.then_some(()));
        if tokio::time::timeout(CLOSE_TIMEOUT, closed).await.is_err() {
            let _ = self.write.close().await;
        }
        self.stop.cancel();
    }
}

impl Handles {
    async fn ends_within(&self, patience: Duration) -> bool {
        let ended = self
            .progress
            .until(|state| (state.status.is_some() || state.closed).then_some(()));
        tokio::time::timeout(patience, ended).await.is_ok()
    }

    /// Ends the input of a command that has not ended, and sends it a signal.
    async fn signal(&self, signal: Sig, name: &str) {
        if self.has_ended() {
            return;
        }
        // Errors below mean that the connection is gone, and with it all that can be done.
        let _ = self.write.signal(signal).await;
        let _ = self.write.eof().await;
        // OpenSSH refuses signals to root's and to forced sessions, and other servers to all.
        if let (false, Some(process)) = (self.ends_within(SIGNAL_TIMEOUT).await, self.process())
            && tokio::time::timeout(KILL_TIMEOUT, kill_group(&self.connection, process, name))
                .await
                .is_err()
        {
            tracing::warn!(
                host = self.connection.name,
                process,
                "failed to send {name} to {}",
                self.what
            );
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.discard.cancel();
        if self.progress.state().closed {
            return;
        }
        // Without a runtime the connection ends as well, and with it the command's input.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let handles = self.0.clone();
            runtime.spawn(async move { handles.end().await });
        }
    }
}

/// Sends a signal to a process group from a channel of its own.
async fn kill_group(connection: &Connection, process: u32, signal: &str) {
    let Ok(mut channel) = open_session(connection, Instant::now() + KILL_TIMEOUT).await else {
        return;
    };
    let line = launch::kill_group(process, signal);
    let sent = async {
        channel.exec(false, launch::LAUNCHER).await?;
        channel.data_bytes(line.into_bytes()).await?;
        channel.eof().await
    };
    match sent.await {
        Ok(()) => while channel.wait().await.is_some() {},
        // It is gone with the connection if this fails as well.
        Err(_) => drop(channel.close().await),
    }
}
