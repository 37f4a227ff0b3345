//! A command whose input is sent whole and whose outputs are collected.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::channel::{Running, State};
use crate::command::{Command, Output};
use crate::connection::Connection;
use crate::error::Error;
use crate::frame::{Frame, Token};
use crate::launch;

/// Runs a command to its end on a connection. `permit` is held until nothing of it is left.
///
/// # Errors
/// See [`Error`].
pub async fn run<P: Send + 'static>(
    connection: Arc<Connection>,
    permit: P,
    command: &Command,
    deadline: Instant,
) -> Result<Output, Error> {
    let token = Token::random();
    let line = launch::command(command, &token)?;
    let frames = (
        Frame::to_the_end(&token, command.output_limit),
        Frame::to_the_end(&token, command.output_limit),
    );
    let (running, read) = Running::launch(connection, &token, frames, command.summary(), deadline).await?;
    let (progress, stop) = (Arc::clone(&running.progress), running.stop.clone());
    tokio::spawn(async move {
        progress.drain(read, stop).await;
        drop(permit);
    });
    let feed = async {
        // A command may end without having read all of its input: its status tells what that means.
        let _ = running.write.data_bytes(line.into_bytes()).await;
        let _ = running.write.data_bytes(Bytes::clone(&command.stdin)).await;
        let _ = running.write.eof().await;
    };
    let finish = running.progress.until(|state| outcome(&running, command, state));
    let both = async {
        tokio::pin!(finish);
        tokio::select! {
            output = &mut finish => output,
            () = feed => finish.await,
        }
    };
    let result = tokio::time::timeout_at(deadline, both).await;
    result.unwrap_or_else(|_| {
        Err(Error::timed_out(
            &running.connection.name,
            command.summary(),
            command.timeout,
        ))
    })
}

fn outcome(running: &Running, command: &Command, state: &mut State) -> Option<Result<Output, Error>> {
    if state.stdout.over() || state.stderr.over() {
        return Some(Err(Error::TooMuchOutput {
            host: running.connection.name.clone(),
            what: command.summary(),
            limit: command.output_limit,
        }));
    }
    if state.refused {
        return Some(Err(running.not_started(state)));
    }
    // Outputs may still come after the status: only the channel's end is the end.
    if !state.closed {
        return None;
    }
    let Some(status) = state.status.clone() else {
        return Some(Err(running.unknown()));
    };
    if state.stdout.begun().is_none() {
        return Some(Err(running.not_started(state)));
    }
    Some(Ok(Output {
        status,
        stdout: state.stdout.take(),
        stderr: state.stderr.take(),
    }))
}
