//! This machine as a [`Remote`]: the same commands as child processes.

use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command as TokioCommand};
use tokio::sync::watch;

use crate::command::{Command, ExitStatus, Output};
use crate::error::Error;
use crate::local_terminal::{self, ReadTerminal};
use crate::remote::{Duplex, LinkState, Process, ProcessHandle, Remote};

pub(crate) const NAME: &str = "this machine";

/// This machine.
#[derive(Debug)]
pub struct Local {
    link: watch::Sender<LinkState>,
}

impl Default for Local {
    fn default() -> Self {
        Self {
            link: watch::Sender::new(LinkState::Up {
                since: SystemTime::now(),
            }),
        }
    }
}

fn spawn(command: &Command) -> Result<Group, Error> {
    let not_started = |why: String| Error::NotStarted {
        host: NAME.to_owned(),
        why,
    };
    // Through the same text and the same shell as over SSH, so that both sides behave alike.
    TokioCommand::new("/bin/sh")
        .arg("-c")
        .arg(command.to_shell()?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map(|child| Group::new(child, command.grace))
        .map_err(|error| not_started(format!("{}: {error}", command.summary())))
}

/// A process and all that it starts: a group of its own, which ends with it when it is dropped.
struct Group {
    /// Always there but in `drop`.
    child: Option<Child>,
    grace: Option<Duration>,
}

/// How often a process that was told to end is looked at.
const LOOK: Duration = Duration::from_millis(20);

fn pid(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}

/// Returns when a process has ended, and leaves it to be waited for: until then its number is no other's.
async fn ended(child: &Child) {
    let Some(pid) = pid(child) else { return };
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while let Ok(None) = waitid(WaitId::Pid(pid), look) {
        tokio::time::sleep(LOOK).await;
    }
}

/// The group's number cannot be another's: its first process has not been waited for.
fn signal(child: &Child, signal: Signal) {
    if let Some(group) = pid(child) {
        // An error means that nothing of it is left.
        let _ = kill_process_group(group, signal);
    }
}

/// Ends all of it.
async fn end(child: &mut Child, grace: Option<Duration>) {
    if let Some(grace) = grace {
        drop(child.stdin.take());
        signal(child, Signal::TERM);
        let _ = tokio::time::timeout(grace, ended(child)).await;
    }
    // (Also of what its first process, if that has ended, has left behind.)
    signal(child, Signal::KILL);
    let _ = child.wait().await;
}

impl Group {
    fn new(child: Child, grace: Option<Duration>) -> Self {
        Self {
            child: Some(child),
            grace,
        }
    }

    fn child(&mut self) -> Result<&mut Child, Error> {
        self.child.as_mut().ok_or_else(|| Error::NotStarted {
            host: NAME.to_owned(),
            why: "the process is gone".to_owned(),
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        match (self.grace, tokio::runtime::Handle::try_current()) {
            (grace @ Some(_), Ok(runtime)) => drop(runtime.spawn(async move { end(&mut child, grace).await })),
            _ => signal(&child, Signal::KILL),
        }
    }
}

fn status_of(status: std::process::ExitStatus) -> ExitStatus {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitStatus::Code(code.unsigned_abs()),
        (None, Some(9)) => ExitStatus::Signal("KILL".to_owned()),
        (None, Some(15)) => ExitStatus::Signal("TERM".to_owned()),
        (None, signal) => ExitStatus::Signal(signal.unwrap_or(0).to_string()),
    }
}

async fn collect(from: impl AsyncRead + Unpin, limit: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut out = Vec::new();
    // One byte more than allowed tells "full" from "too much".
    from.take(limit as u64 + 1).read_to_end(&mut out).await?;
    Ok((out.len() <= limit).then_some(out))
}

async fn finish(mut group: Group, command: &Command) -> Result<Output, Error> {
    let lost = |why: String| Error::OutcomeUnknown {
        host: NAME.to_owned(),
        what: command.summary(),
        why,
    };
    let child = group.child()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command may end without having read all of its input: its status tells what that means.
            let _ = stdin.write_all(&command.stdin).await;
        }
    };
    let out = async {
        match stdout {
            Some(stdout) => collect(stdout, command.output_limit).await,
            None => Ok(Some(Vec::new())),
        }
    };
    let err = async {
        match stderr {
            Some(stderr) => collect(stderr, command.output_limit).await,
            None => Ok(Some(Vec::new())),
        }
    };
    let ((), out, err) = tokio::join!(feed, out, err);
    let too_much = || Error::TooMuchOutput {
        host: NAME.to_owned(),
        what: command.summary(),
        limit: command.output_limit,
    };
    let stdout = out.map_err(|error| lost(error.to_string()))?.ok_or_else(too_much)?;
    let stderr = err.map_err(|error| lost(error.to_string()))?.ok_or_else(too_much)?;
    let status = child.wait().await.map_err(|error| lost(error.to_string()))?;
    Ok(Output {
        status: status_of(status),
        stdout,
        stderr,
    })
}

/// The input of a process, which ends when it is shut down.
struct Input(Option<ChildStdin>);

impl AsyncWrite for Input {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<std::io::Result<usize>> {
        match &mut self.0 {
            Some(stdin) => Pin::new(stdin).poll_write(context, data),
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.0 {
            Some(stdin) => Pin::new(stdin).poll_flush(context),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

struct LocalProcess(Group);

#[async_trait]
impl ProcessHandle for LocalProcess {
    async fn wait(&mut self) -> Result<ExitStatus, Error> {
        let child = self.0.child()?;
        child
            .wait()
            .await
            .map(status_of)
            .map_err(|error| Error::OutcomeUnknown {
                host: NAME.to_owned(),
                what: "a process".to_owned(),
                why: error.to_string(),
            })
    }

    async fn kill(&mut self) {
        let grace = self.0.grace;
        if let Ok(child) = self.0.child() {
            end(child, grace).await;
        }
    }
}

#[async_trait]
impl Remote for Local {
    async fn shell(&self, command: Command) -> Result<Output, Error> {
        self.run(command.stdin(Bytes::new())).await
    }

    async fn run(&self, command: Command) -> Result<Output, Error> {
        let group = spawn(&command)?;
        tokio::time::timeout(command.timeout, finish(group, &command))
            .await
            .unwrap_or_else(|_| Err(Error::timed_out(NAME, command.summary(), command.timeout)))
    }

    async fn open(&self, command: Command) -> Result<Process, Error> {
        if let Some(terminal) = &command.terminal {
            let (child, opened) = local_terminal::spawn(&command, terminal)?;
            let (stdout, stdin) = opened.pty.into_split();
            return Ok(Process {
                stdin: Some(Box::pin(stdin)),
                stdout: Box::pin(ReadTerminal(stdout)),
                stderr: Box::pin(tokio::io::empty()),
                size: Some(opened.size),
                handle: Box::new(LocalProcess(Group::new(child, command.grace))),
            });
        }
        let mut group = spawn(&command)?;
        let child = group.child()?;
        let missing = || Error::NotStarted {
            host: NAME.to_owned(),
            why: "a stream of the process is missing".to_owned(),
        };
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr = child.stderr.take().ok_or_else(missing)?;
        Ok(Process {
            stdin: Some(Box::pin(Input(Some(stdin)))),
            stdout: Box::pin(stdout),
            stderr: Box::pin(stderr),
            size: None,
            handle: Box::new(LocalProcess(group)),
        })
    }

    async fn connect(&self, host: &str, port: u16) -> Result<Box<dyn Duplex>, Error> {
        match tokio::net::TcpStream::connect((host, port)).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(Error::Connect {
                host: format!("{host}:{port}"),
                why: error.to_string(),
            }),
        }
    }

    fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    fn name(&self) -> String {
        NAME.to_owned()
    }

    async fn close(&self) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn input_outputs_and_exit_code_come_through() {
        let command = Command::new("sh")
            .args(["-c", "cat; echo \"$X\" >&2; exit 7"])
            .env("X", "it's\n$(x)");
        let input = vec![7u8; 3 << 20];
        let output = Local::default().run(command.stdin(input.clone())).await.unwrap();
        assert_eq!(output.status, ExitStatus::Code(7));
        assert_eq!(output.stdout, input);
        assert_eq!(output.stderr, b"it's\n$(x)\n");
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_has_an_unknown_outcome() {
        let command = Command::new("sleep").arg("600").timeout(Duration::from_millis(50));
        let error = Local::default().run(command).await.unwrap_err();
        assert!(error.outcome_unknown() && !error.is_permanent(), "{error}");
    }

    #[tokio::test]
    async fn too_much_output_is_an_error_and_not_a_cut() {
        let error = Local::default()
            .run(Command::new("yes").output_limit(1000))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TooMuchOutput { limit: 1000, .. }), "{error}");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_input() {
        let mut process = Local::default().open(Command::new("cat")).await.unwrap();
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(b"one\n").await.unwrap();
        let mut line = [0; 4];
        process.stdout.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"one\n");
        drop(stdin);
        assert!(process.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_killed_process_says_so() {
        let mut process = Local::default().open(Command::new("sleep").arg("600")).await.unwrap();
        process.kill().await;
        assert_eq!(process.wait().await.unwrap(), ExitStatus::Signal("KILL".to_owned()));
    }

    #[tokio::test]
    async fn what_outlives_the_first_process_of_its_group_ends_as_well() {
        // The first one ends at the TERM, and what it has started does not hear of it.
        let script = "sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait";
        let command = Command::new("sh").args(["-c", script]).grace(Duration::from_secs(60));
        let mut process = Local::default().open(command).await.unwrap();
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            process.stdout.read_exact(&mut byte).await.unwrap();
            line.extend(byte);
        }
        // (Of one that has ended and that nobody has waited for yet, it is empty.)
        let left = format!("/proc/{}/cmdline", String::from_utf8(line).unwrap().trim());
        let runs = || std::fs::read(&left).is_ok_and(|words| !words.is_empty());
        assert!(runs());
        drop(process);
        let gone = async {
            while runs() {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), gone).await.unwrap();
    }

    #[tokio::test]
    async fn what_no_shell_can_carry_is_refused() {
        for command in [Command::new("a\0b"), Command::new("true").env("a.b", "1")] {
            assert!(matches!(Local::default().run(command).await, Err(Error::Invalid(_))));
        }
    }
}
