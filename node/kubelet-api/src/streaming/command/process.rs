//! Between a process and its client.

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;
use towline_cluster::Error;
use towline_ssh::ExitStatus;
use towline_ssh::remote::Reader;
use tracing::debug;

use super::status::Ending;
use super::{Request, What, resize};
use crate::streaming::backend::{Place, Session, Sessions, Streams, read_output};
use crate::streaming::pipe::{Inlet, Outlet, PIECE};

/// Bytes of output that `run` takes, at most.
const LARGEST_OUTPUT: usize = 16 << 20;

/// The client's side of the streams.
pub struct Client {
    /// What it sends to the process.
    pub stdin: Option<Inlet>,
    /// Where it takes the output.
    pub stdout: Option<Outlet>,
    /// Where it takes the complaints.
    pub stderr: Option<Outlet>,
    /// The sizes of its terminal.
    pub resize: Option<Inlet>,
    /// Where it is told how it ended.
    pub error: Outlet,
    /// It understands objects there.
    pub objects: bool,
}

/// Starts what is asked for, carries its streams, and tells the client how it ended.
pub async fn serve(request: &Request, client: Client, cancel: &CancellationToken) {
    let (error, objects) = (client.error.clone(), client.objects);
    let ending = match cancel.run_until_cancelled(carry(request, client)).await {
        Some(Ok(_)) if matches!(request.what, What::Attach) => Ending::Success,
        Some(Ok(status)) => Ending::of(&status),
        Some(Err(error)) => {
            let why = request.failure(&error.to_string());
            debug!(pod = request.place.pod, container = request.place.container, "{why}");
            Ending::Failure(why)
        }
        None => Ending::Failure(request.failure("the node ends")),
    };
    // If the connection is gone, so is who would want to know.
    let _ = error.data(ending.bytes(objects)).await;
}

async fn carry(request: &Request, client: Client) -> Result<ExitStatus, Error> {
    let Session {
        stdin,
        stdout,
        stderr,
        size,
        exit,
    } = request.start().await?;
    let ended = CancellationToken::new();
    let exit = async {
        let exit = exit.await;
        ended.cancel();
        exit
    };
    let outputs = async {
        tokio::join!(
            output(stdout, client.stdout, &ended),
            output(stderr, client.stderr, &ended)
        );
    };
    // These end with the process, not the process with them.
    let inputs = async {
        tokio::join!(
            async {
                if let (Some(from), Some(mut to)) = (client.stdin, stdin) {
                    let _ = from.copy(&mut to).await;
                }
            },
            async {
                if let (Some(from), Some(to)) = (client.resize, size) {
                    resize::follow(from, to).await;
                }
            }
        );
        std::future::pending().await
    };
    tokio::select! {
        (exit, ()) = async { tokio::join!(exit, outputs) } => exit,
        // Never.
        exit = inputs => exit,
    }
}

/// Brings an output to the client; if nobody takes it, it is read all the same, so that the process never waits.
async fn output(from: Option<Reader>, to: Option<Outlet>, ended: &CancellationToken) {
    let Some(mut from) = from else { return };
    loop {
        let mut piece = BytesMut::with_capacity(PIECE);
        if !read_output(&mut from, &mut piece, ended).await {
            return;
        }
        if let Some(to) = &to
            && to.data(piece).await.is_err()
        {
            return;
        }
    }
}

/// Runs a command and collects both its outputs, the complaints behind the rest.
///
/// # Errors
/// Words: it could not be run, or ended with another code than 0.
pub async fn run_to_end(sessions: &dyn Sessions, place: &Place, command: &[String]) -> Result<Vec<u8>, String> {
    let streams = Streams {
        stdout: true,
        stderr: true,
        ..Streams::default()
    };
    let session = sessions.exec(place, command, streams).await;
    let session = session.map_err(|error| error.to_string())?;
    drop(session.stdin);
    let exit = async { session.exit.await.map_err(|error| error.to_string()) };
    let (exit, mut out, err) = tokio::try_join!(exit, collect(session.stdout), collect(session.stderr))?;
    match exit {
        ExitStatus::Code(0) => {
            out.extend_from_slice(&err);
            Ok(out)
        }
        status => Err(format!(
            "command '{}' ended with {status}: {}",
            command.join(" "),
            String::from_utf8_lossy(&err)
        )),
    }
}

async fn collect(from: Option<Reader>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    let Some(from) = from else { return Ok(all) };
    let read = from.take(LARGEST_OUTPUT as u64 + 1).read_to_end(&mut all).await;
    read.map_err(|error| format!("the output was cut: {error}"))?;
    match all.len() > LARGEST_OUTPUT {
        true => Err(format!("more than {LARGEST_OUTPUT} bytes of output")),
        false => Ok(all),
    }
}
