//! The cluster behind a [`towline_ssh::Remote`]: the operations of `remote-scripts/`, typed in and out.
//!
//! One file per operation. Nothing here decides anything: a call sends what it is given, and returns what the other side
//! said or why there is no answer. [`Cluster::connect`] brings the scripts there first, once per version, in a directory
//! named by their content's hash.
//!
//! **An error that says [`Error::outcome_unknown`] is answered by a look, never by doing it again.**

mod add;
mod agents;
mod archive;
mod call;
mod cancel;
mod check;
mod chunks;
mod cluster;
mod connect;
mod enter;
mod error;
mod forward;
mod images;
mod list;
mod log;
mod look;
mod probe;
mod remove;
mod render;
mod scan;
pub mod scripts;
mod submit;
mod sweep;
mod update;
mod usage;

pub use agents::Agent;
pub use archive::archive;
pub use cancel::CancelMode;
pub use cluster::{Cluster, Options};
pub use enter::{Input, Session, SessionEnd};
pub use error::Error;
pub use log::{LogIndex, LogRange, LogStart};
pub use render::render;
pub use scripts::Scripts;
pub use sweep::{Fate, Left};
