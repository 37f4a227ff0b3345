//! Commands, byte streams and TCP connections on another host.
//!
//! [`Remote`] is the seam: what a program needs of the far side, and nothing about how it is reached. [`Local`] serves it
//! by processes of this machine. A command is a list of words; no word of it is ever interpreted by a shell.
//!
//! The one rule to know: **an error that says [`Error::outcome_unknown`] must not be answered by doing it again.** The
//! command may have run, may be running still, or may never have started.

mod auth;
mod bulk;
mod channel;
mod client;
mod collect;
pub mod command;
pub mod config;
mod connection;
pub mod error;
mod frame;
mod gate;
pub mod known_hosts;
mod launch;
pub mod local;
pub mod options;
pub mod pattern;
pub mod quote;
pub mod remote;
mod shell;
pub mod ssh;
mod stream;
pub mod target;
pub mod upload;

pub use client::AcceptedHostKey;
pub use command::{Command, ExitStatus, Output};
pub use error::Error;
pub use local::Local;
pub use options::{Options, Prompt};
pub use remote::{Duplex, LinkState, Process, Remote};
pub use ssh::Ssh;
pub use target::Target;
pub use upload::upload;

/// The key types of `russh`: the crate `russh-keys` has become part of it.
pub use russh::keys as russh_keys;
