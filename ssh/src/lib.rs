//! Commands, byte streams and TCP connections on another host.
//!
//! [`Remote`] is the seam: what a program needs of the far side, and nothing about how it is reached. [`Ssh`] serves it
//! over SSH, [`Local`] by processes of this machine. A command is a list of words; no word of it is ever interpreted by a
//! shell.
//!
//! The one rule to know: **an error that says [`Error::outcome_unknown`] must not be answered by doing it again.** The
//! command may have run, may be running still, or may never have started.
//!
//! # Over SSH
//! - Targets and the configuration are OpenSSH's ([`config`] says what is followed). Host keys are always verified
//!   ([`known_hosts`]); host certificates are accepted from a `@cert-authority`.
//! - Keys, certificates, ssh-agent, keyboard-interactive and passwords; a person answers through a [`Prompt`]. A refusal
//!   trips a breaker: nothing more is tried until [`Ssh::retry`] or [`Remote::close`].
//! - Short commands share one connection, at most four and a shell at once. Streams have connections of their own
//!   ([`Options::bulk_connections`]); where they have to share one, a reader that stops for longer than its buffer of
//!   1 MiB delays the others there, and never a short command.
//! - There are at most [`Options::max_bulk_connections`] of those; who wants a stream beyond what they hold waits for a
//!   place, first come first served. A host that allows fewer sessions than usual (`MaxSessions`) is noticed.
//! - The login shell may be anything, and may say anything. A command that is given up, timed out or dropped is killed on
//!   the far side with its process group
//!   ([`Command::grace`] lets it end by itself first). When the link itself is lost, a command that neither reads nor writes goes on.
//! - A signal may be reported as code 128 + its number where a shell stands between.
//!
//! `russh-keys`, which used to be a crate, is part of `russh` today; it is re-exported here as [`russh_keys`].

mod auth;
mod bulk;
mod channel;
mod ciphers;
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
mod local_terminal;
pub mod options;
pub mod pattern;
pub mod quote;
pub mod remote;
mod shell;
pub mod ssh;
mod stream;
pub mod target;
pub mod terminal;
pub mod upload;

pub use client::AcceptedHostKey;
pub use command::{Command, ExitStatus, Output};
pub use error::Error;
pub use local::Local;
pub use options::{Options, Prompt};
pub use remote::{Duplex, LinkState, Process, Remote};
pub use ssh::Ssh;
pub use target::Target;
pub use terminal::{Size, Terminal};
pub use upload::upload;

/// The key types of `russh`: the crate `russh-keys` has become part of it.
pub use russh::keys as russh_keys;
