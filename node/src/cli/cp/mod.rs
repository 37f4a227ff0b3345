//! `towline cp`: `tar` in the container on one side, this program on the other, as with kubectl.

mod pack;
mod place;
mod unpack;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::io::SyncIoBridge;
use towline_kubelet_api::{Place, Session, Sessions, Streams};
use towline_ssh::ExitStatus;
use towline_ssh::remote::Reader;

use self::place::{End, Inside};
use super::connection::Connection;
use super::session::{Interrupts, Reached, copy};

/// Copy files and directories to and from a container that runs
///
/// The container needs `tar`. Links are not followed: they arrive in the container as they are, and are passed over on the
/// way from it; nothing of what it sends is written outside of the destination.
#[derive(Debug, Args)]
pub struct Cp {
    /// What to copy: a path here, or POD:PATH
    #[arg(id = "source", value_name = "FROM")]
    from: String,
    /// Where to: POD:PATH, or a path here
    #[arg(id = "destination", value_name = "TO")]
    to: String,
    /// The container; needed if the pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Keep neither modes nor owners, in the container
    #[arg(long)]
    no_preserve: bool,
    #[command(flatten)]
    connection: Connection,
}

impl Cp {
    pub async fn run(self) -> anyhow::Result<u8> {
        let mut interrupts = Interrupts::listen()?;
        let work = self.copy();
        tokio::select! {
            done = work => done.map(|()| 0),
            code = interrupts.next() => Ok(code),
        }
    }

    async fn copy(&self) -> anyhow::Result<()> {
        match (End::of(&self.from)?, End::of(&self.to)?) {
            (End::Here(from), End::There { pod, path }) => {
                let name = from.symlink_metadata();
                name.with_context(|| format!("failed to read {}", from.display()))?;
                let reached = Reached::find(&self.connection, &pod).await?;
                let container = Container::of(&reached, self.container.as_deref())?;
                let copied = container.put(&from, path, self.no_preserve).await;
                reached.cluster.remote().close().await;
                copied
            }
            (End::There { pod, path }, End::Here(to)) => {
                let reached = Reached::find(&self.connection, &pod).await?;
                let container = Container::of(&reached, self.container.as_deref())?;
                let copied = container.get(&path, &to).await;
                reached.cluster.remote().close().await;
                copied
            }
            (End::Here(_), End::Here(_)) => bail!("one of FROM and TO has to be in a pod: POD:PATH"),
            (End::There { .. }, End::There { .. }) => bail!("one of FROM and TO has to be a path of this machine"),
        }
    }
}

/// The container at the other end.
struct Container<'a> {
    sessions: &'a dyn Sessions,
    place: Place,
}

impl<'a> Container<'a> {
    fn of(reached: &'a Reached, named: Option<&str>) -> anyhow::Result<Self> {
        Ok(Self {
            sessions: &reached.sessions,
            place: reached.container(named)?,
        })
    }

    async fn start(&self, command: &[&str], stdin: bool) -> anyhow::Result<Session> {
        let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
        let streams = Streams {
            stdin,
            stdout: true,
            stderr: true,
            tty: false,
        };
        Ok(self.sessions.exec(&self.place, &command, streams).await?)
    }

    /// Whether a path is a directory there.
    async fn has_directory(&self, path: &Inside) -> anyhow::Result<bool> {
        let session = self.start(&["test", "-d", path.as_str()], false).await?;
        let (status, ()) = tokio::join!(session.exit, said(session.stderr));
        Ok(status?.success())
    }

    /// Copies to the container: into a directory that is there, or as what the path says.
    async fn put(&self, from: &Path, to: Inside, no_preserve: bool) -> anyhow::Result<()> {
        let to = if self.has_directory(&to).await? {
            to.join(&place::name_of(from)?)
        } else {
            to
        };
        let (directory, name) = to.split()?;
        let mut command = vec!["tar"];
        if no_preserve {
            command.extend(["--no-same-permissions", "--no-same-owner"]);
        }
        command.extend(["-xmf", "-"]);
        if !directory.is_empty() {
            command.extend(["-C", directory]);
        }
        let mut session = self.start(&command, true).await?;
        let stdin = session.stdin.take().context("the session has no input")?;
        let (from, name) = (from.to_owned(), name.to_owned());
        let packing = tokio::task::spawn_blocking(move || {
            let mut stdin = SyncIoBridge::new(stdin);
            let packed = pack::pack(&from, &name, &mut stdin);
            packed.and_then(|()| Ok(stdin.shutdown()?))
        });
        let (packed, ended) = tokio::join!(packing, ended(session));
        match (packed.context("failed to pack")?, ended) {
            // Who reads no more says why itself.
            (Err(error), ended) if is_broken_pipe(&error) => ended.and(Err(error)),
            (Err(error), _) => Err(error),
            (Ok(()), ended) => ended,
        }
    }

    /// Copies from the container: what is in a directory into one here, or a file as what the path says.
    async fn get(&self, from: &Inside, to: &Path) -> anyhow::Result<()> {
        let (directory, name) = from.split_or_whole();
        let mut command = vec!["tar"];
        if !directory.is_empty() {
            command.extend(["-C", directory]);
        }
        let member = format!("./{name}");
        command.extend(["-cf", "-", &member]);
        let mut session = self.start(&command, false).await?;
        let stdout = session.stdout.take().context("the session has no output")?;
        let (to, name) = (to.to_owned(), PathBuf::from(name));
        let unpacking = tokio::task::spawn_blocking(move || {
            unpack::unpack(SyncIoBridge::new(stdout), &name, &to, &mut |warning| {
                eprintln!("warning: {warning}");
            })
        });
        // Whatever cannot be unpacked need not be sent any further: then the rest is dropped.
        let unpacked = async { unpacking.await.context("failed to unpack")? };
        tokio::try_join!(unpacked, ended(session)).map(|_| ())
    }
}

/// What a command complains about is for who reads it here.
async fn said(stderr: Option<Reader>) {
    if let Some(mut stderr) = stderr {
        // Nobody there to read it is no reason to stop.
        let _ = copy(&mut stderr, &mut tokio::io::stderr()).await;
    }
}

/// Waits for the end of a session whose command has to succeed.
async fn ended(session: Session) -> anyhow::Result<()> {
    let (status, (), ()) = tokio::join!(session.exit, said(session.stderr), said(session.stdout));
    match status? {
        ExitStatus::Code(0) => Ok(()),
        ExitStatus::Code(127) => bail!("the container has no tar (exit code 127)"),
        status => bail!("tar in the container ended with {status}"),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let of =
        |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    error
        .chain()
        .any(|cause| of(cause) == Some(std::io::ErrorKind::BrokenPipe))
}
