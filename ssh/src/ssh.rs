//! A host over SSH as a [`Remote`].

use async_trait::async_trait;
use tokio::sync::watch;

use crate::command::{Command, Output};
use crate::error::Error;
use crate::options::Options;
use crate::remote::{Duplex, LinkState, Process, Remote};
use crate::target::Target;

/// A host over SSH.
#[derive(Debug)]
pub struct Ssh {
    target: Target,
    link: watch::Sender<LinkState>,
}

impl Ssh {
    /// Resolves the configuration; connects on first use.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a target or a configuration that cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self {
            target: Target::parse(&options.target)?,
            link: watch::Sender::new(LinkState::Idle),
        })
    }

    /// Connects now, if there is no connection yet.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn connect_now(&self) -> Result<(), Error> {
        Err(self.missing())
    }

    /// Takes back that the link is [`LinkState::Blocked`]: the next use tries again.
    pub fn retry(&self) {}

    fn missing(&self) -> Error {
        Error::Invalid(format!("{}: the SSH transport is being written", self.target))
    }
}

#[async_trait]
impl Remote for Ssh {
    async fn shell(&self, _: Command) -> Result<Output, Error> {
        Err(self.missing())
    }
    async fn run(&self, _: Command) -> Result<Output, Error> {
        Err(self.missing())
    }
    async fn open(&self, _: Command) -> Result<Process, Error> {
        Err(self.missing())
    }
    async fn connect(&self, _: &str, _: u16) -> Result<Box<dyn Duplex>, Error> {
        Err(self.missing())
    }
    fn link(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }
    fn name(&self) -> String {
        self.target.to_string()
    }
    async fn close(&self) {}
}
