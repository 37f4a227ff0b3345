//! One long-lived `sh` for short commands: a round trip instead of a process start by the login shell.

use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::{Running, State};
use crate::command::{Command, ExitStatus, Output};
use crate::connection::Connection;
use crate::error::Error;
use crate::frame::{Frame, Token};
use crate::launch;

/// A shell on the far side, good for one command at a time.
#[derive(Debug)]
pub struct Shell {
    running: Running,
}

impl Shell {
    /// Starts one.
    ///
    /// # Errors
    /// [`Error::NotStarted`] or [`Error::Connect`].
    pub async fn start(connection: Arc<Connection>, deadline: Instant) -> Result<Self, Error> {
        let token = Token::random();
        let frames = (Frame::to_the_end(&token, 0), Frame::to_the_end(&token, 0));
        let (running, read) = Running::launch(connection, &token, frames, "the shell".to_owned(), deadline).await?;
        tokio::spawn(Arc::clone(&running.progress).drain(read, running.stop.clone()));
        let started = async {
            let _ = running.write.data_bytes(launch::shell(&token).into_bytes()).await;
            let begun = running.progress.until(|state| match state {
                _ if state.stdout.begun().is_some() => Some(Ok(())),
                _ if state.refused || state.closed => Some(Err(running.not_started(state))),
                _ => None,
            });
            begun.await
        };
        let started = tokio::time::timeout_at(deadline, started).await.unwrap_or_else(|_| {
            Err(Error::NotStarted {
                host: running.connection.name.clone(),
                why: format!("no shell within the time: {}", running.progress.state().stdout.noise()),
            })
        });
        started.map(|()| Self { running })
    }

    /// Whether it belongs to this connection and can take a command.
    pub fn is_good(&self, connection: &Arc<Connection>) -> bool {
        Arc::ptr_eq(&self.running.connection, connection) && !self.running.progress.state().closed
    }

    /// Runs a command. After an error the shell must be dropped: nobody knows what it is doing.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`] if the link or the shell ended first, or the time was up.
    pub async fn run(&mut self, command: &Command, deadline: Instant) -> Result<Output, Error> {
        let token = Token::random();
        let text = launch::in_shell(command, &token)?;
        {
            let mut state = self.running.progress.state();
            state.stdout = Frame::to_the_mark(&token, command.output_limit);
            state.stderr = Frame::to_the_mark(&token, command.output_limit);
        }
        self.running.what = command.summary();
        let work = async {
            if self.running.write.data_bytes(text.into_bytes()).await.is_err() {
                return Err(self.running.unknown());
            }
            self.running.progress.until(|state| self.outcome(command, state)).await
        };
        let result = tokio::time::timeout_at(deadline, work).await;
        let host = &self.running.connection.name;
        result.unwrap_or_else(|_| Err(Error::timed_out(host, command.summary(), command.timeout)))
    }

    fn outcome(&self, command: &Command, state: &mut State) -> Option<Result<Output, Error>> {
        if state.stdout.over() || state.stderr.over() {
            return Some(Err(Error::TooMuchOutput {
                host: self.running.connection.name.clone(),
                what: command.summary(),
                limit: command.output_limit,
            }));
        }
        if let (Some(code), Some(_)) = (state.stdout.ended(), state.stderr.ended())
            && let Ok(code) = code.parse()
        {
            return Some(Ok(Output {
                status: ExitStatus::Code(code),
                stdout: state.stdout.take(),
                stderr: state.stderr.take(),
            }));
        }
        state.closed.then(|| Err(self.running.unknown()))
    }
}
