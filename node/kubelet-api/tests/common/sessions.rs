//! Containers whose processes run on this machine.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;
use towline_cluster::Error;
use towline_kubelet_api::{Place, Session, Sessions, Streams};
use towline_ssh::{Duplex, ExitStatus, Size};

use super::Counted;

/// Everything is possible in it.
#[derive(Default)]
pub struct Here {
    /// What was asked for, in words.
    pub asked: Mutex<Vec<String>>,
    /// How many processes and connections there are.
    pub open: watch::Sender<usize>,
    /// What is asked for fails with these words.
    pub fails: Mutex<Option<String>>,
}

impl Here {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn fail(&self, words: &str) {
        *self.fails.lock().unwrap() = Some(words.to_owned());
    }

    /// Waits until there are so many processes and connections.
    pub async fn until_open(&self, count: usize) {
        let mut open = self.open.subscribe();
        let reached = open.wait_for(|open| *open == count);
        tokio::time::timeout(Duration::from_secs(20), reached)
            .await
            .unwrap()
            .unwrap();
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn ask(&self, what: String) -> Result<Counted, Error> {
        self.asked.lock().unwrap().push(what);
        match &*self.fails.lock().unwrap() {
            Some(words) => Err(Error::Invalid(words.clone())),
            None => Ok(Counted::new(self.open.clone())),
        }
    }
}

#[async_trait]
impl Sessions for Here {
    /// `lost` loses the link; with a terminal its sizes are echoed until the input ends; else this machine runs it.
    async fn exec(&self, place: &Place, command: &[String], streams: Streams) -> Result<Session, Error> {
        let counted = self.ask(format!(
            "exec {}/{}/{} {command:?}",
            place.pod, place.uid, place.container
        ))?;
        if command == ["lost"] {
            return Ok(Session {
                stdin: None,
                stdout: Some(Box::pin(&b"before"[..])),
                stderr: None,
                size: None,
                exit: Box::pin(async { Err(Error::Invalid("the link was lost".to_owned())) }),
            });
        }
        if streams.tty {
            return Ok(terminal(counted));
        }
        let pipe = |wanted| if wanted { Stdio::piped() } else { Stdio::null() };
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(pipe(streams.stdin))
            .stdout(pipe(streams.stdout))
            .stderr(pipe(streams.stderr))
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Ok(Session {
            stdin: child.stdin.take().map(|it| Box::pin(it) as _),
            stdout: child.stdout.take().map(|it| Box::pin(it) as _),
            stderr: child.stderr.take().map(|it| Box::pin(it) as _),
            size: None,
            exit: Box::pin(async move {
                let _counted = counted;
                let status = child.wait().await.unwrap();
                Ok(match status.code() {
                    Some(code) => ExitStatus::Code(code as u32),
                    None => ExitStatus::Signal("KILL".to_owned()),
                })
            }),
        })
    }

    async fn attach(&self, place: &Place, streams: Streams) -> Result<Session, Error> {
        let _counted = self.ask(format!("attach {} {streams:?}", place.container))?;
        Ok(Session {
            stdin: None,
            stdout: Some(Box::pin(&b"attached"[..])),
            stderr: None,
            size: None,
            exit: Box::pin(async { Ok(ExitStatus::Code(3)) }),
        })
    }

    async fn connect(&self, place: &Place, port: u16) -> Result<Box<dyn Duplex>, Error> {
        let counted = self.ask(format!("connect {} {port}", place.pod))?;
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        let stream = stream.map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Box::new(Connected(stream, counted)))
    }
}

fn terminal(counted: Counted) -> Session {
    let (size, mut sizes) = watch::channel(Size { columns: 0, rows: 0 });
    let (stdin, mut reads) = tokio::io::duplex(1 << 10);
    let (stdout, mut writes) = tokio::io::duplex(1 << 10);
    Session {
        stdin: Some(Box::pin(stdin)),
        stdout: Some(Box::pin(stdout)),
        stderr: None,
        size: Some(size),
        exit: Box::pin(async move {
            let _counted = counted;
            let mut input = [0; 100];
            loop {
                tokio::select! {
                    Ok(()) = sizes.changed() => {
                        let Size { columns, rows } = *sizes.borrow_and_update();
                        writes.write_all(format!("{columns}x{rows}\n").as_bytes()).await.unwrap();
                    }
                    read = reads.read(&mut input) => match read.unwrap() {
                        0 => return Ok(ExitStatus::Code(0)),
                        read => writes.write_all(&input[..read]).await.unwrap(),
                    }
                }
            }
        }),
    }
}

struct Connected(TcpStream, #[allow(dead_code, reason = "it counts")] Counted);

impl tokio::io::AsyncRead for Connected {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl tokio::io::AsyncWrite for Connected {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::pin::Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::pin::Pin::new(&mut self.0).poll_shutdown(context)
    }
}
