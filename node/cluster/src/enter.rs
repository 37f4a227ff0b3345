//! Sessions: commands in containers that run, on the node where they run.
//!
//! A session is a process on the login node (`batch/NAME/enter`) that has the batch system start another one beside the
//! container. Its end is trusted only when the far end has said it ([`marks`]): a batch system that loses a session, or
//! ends it with its job, gives exit codes as well.

mod marks;
mod sizes;

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::watch;
use towline_core::words;
use towline_ssh::remote::{Reader, Writer};
use towline_ssh::{Command, ExitStatus, Process, Size, Terminal};

use self::marks::Marks;
use crate::call::{LONG, words_of};
use crate::cluster::Cluster;
use crate::error::Error;

/// How much of an output waits for its reader, in bytes.
const PIPE: usize = 256 << 10;

/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// How long the batch system has to end a session before its command on the login node is killed, and to clean up after
/// one that has ended.
const GRACE: Duration = Duration::from_secs(15);

/// What a session's command reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    None,
    /// A stream of its own.
    Open,
    /// A terminal, which is both its input and its outputs.
    Terminal(Terminal),
}

/// A command in a container with its streams. Dropping [`Session::end`] ends it.
pub struct Session {
    /// What it reads; closing it ends its input.
    pub stdin: Option<Writer>,
    /// What it writes; in a terminal, all of it.
    pub stdout: Reader,
    /// What it complains about.
    pub stderr: Reader,
    /// The size of its terminal, if it has one.
    pub size: Option<watch::Sender<Size>>,
    /// Its end.
    pub end: SessionEnd,
}

/// The end of a session, which holds it.
pub struct SessionEnd {
    host: String,
    process: Process,
    /// Without an input, this one's end would be the connection's.
    _lifeline: Option<Writer>,
    outputs: [watch::Receiver<Seen>; 2],
}

/// What has been seen of an output.
#[derive(Clone, Debug, Default)]
struct Seen {
    begun: bool,
    ended: bool,
    code: Option<u32>,
    /// Nothing more will come.
    closed: bool,
    outside: Vec<u8>,
}

impl Cluster {
    /// Starts a command in a container that runs. No word of it is interpreted by a shell.
    ///
    /// # Errors
    /// [`Error::Script`] with code 66 if the container does not run; with the batch system's words if that could not
    /// start it.
    pub async fn enter(&self, uid: &str, container: &str, command: &[String], input: Input) -> Result<Session, Error> {
        if command.is_empty() {
            return Err(Error::Invalid("there is no command to run in the container".to_owned()));
        }
        let what = "start a command in a container";
        self.session(what, uid, ["container", container], command, input).await
    }

    /// The streams of a container's own process, from now on: its standard input, or, with [`Input::Terminal`], its
    /// terminal, and what it writes. The session ends with the container, which goes on when the session is dropped.
    ///
    /// # Errors
    /// [`Error::Script`] with code 66 if the container does not run, 69 if it has no input or no terminal, or none any more.
    pub async fn attach(&self, uid: &str, container: &str, input: Input) -> Result<Session, Error> {
        if input == Input::None {
            return Err(Error::Invalid("what a container writes is in its log".to_owned()));
        }
        let what = "attach to a container";
        self.session(what, uid, ["attach", container], &[], input).await
    }

    /// A session of any kind.
    pub(crate) async fn session(
        &self,
        what: &'static str,
        uid: &str,
        kind: [&str; 2],
        words: &[String],
        input: Input,
    ) -> Result<Session, Error> {
        let first = self.try_session(what, uid, kind, words, &input).await;
        match first {
            // The shell has not found the script, so nothing has been done.
            Err(Error::Script { status, .. })
                if matches!(status, ExitStatus::Code(2 | 126 | 127)) && self.restore().await? =>
            {
                self.try_session(what, uid, kind, words, &input).await
            }
            other => other,
        }
    }

    async fn try_session(
        &self,
        what: &'static str,
        uid: &str,
        kind: [&str; 2],
        words: &[String],
        input: &Input,
    ) -> Result<Session, Error> {
        let token = format!("towline{:032x}", rand::random::<u128>());
        let command = self
            .command(&format!("batch/{}/enter", self.batch()))
            .args([self.scripts(), self.root(), self.agent(), uid, &token])
            .arg(match input {
                Input::None => "none",
                Input::Open => "open",
                Input::Terminal(_) => "tty",
            })
            .args(kind);
        let command = match input {
            Input::Terminal(terminal) => command.terminal(terminal.clone()),
            _ => command,
        };
        let mut text = words::encode(words).map_err(|error| Error::Invalid(error.to_string()))?;
        text.extend_from_slice(b".\n");
        let opening = open(self, what, command, &token, &text, input);
        tokio::time::timeout(LONG, opening).await.unwrap_or_else(|_| {
            Err(Error::Remote(towline_ssh::Error::OutcomeUnknown {
                host: self.remote().name(),
                what: what.to_owned(),
                why: format!("the batch system did not start it within {} s", LONG.as_secs()),
            }))
        })
    }
}

async fn open(
    cluster: &Cluster,
    what: &'static str,
    command: Command,
    token: &str,
    text: &[u8],
    input: &Input,
) -> Result<Session, Error> {
    let mut process = cluster.remote().open(command.timeout(LONG).grace(GRACE)).await?;
    let mut stdin = process.stdin.take();
    if let Some(stdin) = &mut stdin {
        // Who does not read it says why.
        let _ = stdin.write_all(text).await;
        let _ = stdin.flush().await;
    }
    let empty = || -> Reader { Box::pin(tokio::io::empty()) };
    let (stdout, out) = pumped(std::mem::replace(&mut process.stdout, empty()), token);
    let (stderr, err) = pumped(std::mem::replace(&mut process.stderr, empty()), token);
    let wants_input = *input != Input::None;
    let (stdin, lifeline) = if wants_input { (stdin, None) } else { (None, stdin) };
    let size = process.size.take().map(sizes::paced);
    let mut end = SessionEnd {
        host: cluster.remote().name(),
        process,
        _lifeline: lifeline,
        outputs: [out, err],
    };
    let outputs = if matches!(input, Input::Terminal(_)) { 1 } else { 2 };
    for output in 0..outputs {
        let seen = end.outputs[output].wait_for(|seen| seen.begun || seen.closed).await;
        if !seen.is_ok_and(|seen| seen.begun) {
            return Err(end.failure(what).await);
        }
    }
    Ok(Session {
        stdin,
        stdout,
        stderr,
        size,
        end,
    })
}

impl SessionEnd {
    /// Waits for the end of the command. Its outputs have to be read meanwhile, or it may never end.
    ///
    /// # Errors
    /// Nobody saw its end: the link was lost, or the batch system ended the session, perhaps with its job.
    pub async fn wait(mut self) -> Result<ExitStatus, Error> {
        let seen = self.outputs[0].wait_for(|seen| seen.ended || seen.closed).await;
        let code = seen.ok().and_then(|seen| seen.code);
        let Some(code) = code else {
            return Err(self.failure("follow a command in a container to its end").await);
        };
        // What the batch system still has to clean up is nothing to wait for. (All of this is held meanwhile: without its
        // lifeline, what still writes the other output's mark would be ended.)
        tokio::spawn(async move {
            let mut held = self;
            tokio::time::timeout(GRACE, held.process.wait()).await.is_ok()
        });
        Ok(ExitStatus::Code(code))
    }

    /// Why the far side ended without a word from the command's end.
    async fn failure(&mut self, what: &'static str) -> Error {
        let ended = tokio::time::timeout(GRACE, self.process.wait()).await;
        let status = match ended {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return error.into(),
            Err(_) => ExitStatus::Signal("-".to_owned()),
        };
        let mut said = Vec::new();
        for output in &mut self.outputs {
            // An error means that it is closed.
            let _ = output.wait_for(|seen| seen.closed).await;
            said.extend_from_slice(&output.borrow().outside);
        }
        Error::Script {
            what,
            host: self.host.clone(),
            status,
            stderr: words_of(&said),
        }
    }
}

/// An output without its marks, and what is seen of it.
fn pumped(from: Reader, token: &str) -> (Reader, watch::Receiver<Seen>) {
    let (reader, writer) = duplex(PIPE);
    let (sender, receiver) = watch::channel(Seen::default());
    tokio::spawn(pump(from, writer, Marks::new(token), sender));
    (Box::pin(reader), receiver)
}

async fn pump(mut from: Reader, to: DuplexStream, mut marks: Marks, seen: watch::Sender<Seen>) {
    let mut to = Some(to);
    let mut chunk = vec![0; CHUNK];
    loop {
        // A link that is lost ends the stream; the process says why.
        let size = from.read(&mut chunk).await.unwrap_or(0);
        let body = match size {
            0 => marks.finish(),
            _ => marks.push(&chunk[..size]),
        };
        if let Some(writer) = &mut to
            && !body.is_empty()
            && writer.write_all(&body).await.is_err()
        {
            to = None;
        }
        if marks.ended() {
            to = None;
        }
        seen.send_if_modified(|seen| {
            let before = (seen.begun, seen.ended);
            (seen.begun, seen.ended, seen.closed) = (marks.begun(), marks.ended(), size == 0);
            if seen.closed {
                seen.outside = marks.outside().to_vec();
            }
            seen.code = marks.code();
            before != (seen.begun, seen.ended) || seen.closed
        });
        if size == 0 {
            return;
        }
    }
}
