//! Commands, byte streams and TCP connections on another host.
//!
//! [`Remote`] is the seam: what a program needs of the far side, and nothing about how it is reached. [`Local`] serves it
//! by processes of this machine. A command is a list of words; no word of it is ever interpreted by a shell.
//!
//! The one rule to know: **an error that says [`Error::outcome_unknown`] must not be answered by doing it again.** The
//! command may have run, may be running still, or may never have started.

pub mod command;
pub mod error;
pub mod local;
pub mod quote;
pub mod remote;

pub use command::{Command, ExitStatus, Output};
pub use error::Error;
pub use local::Local;
pub use remote::{Duplex, LinkState, Process, Remote};
