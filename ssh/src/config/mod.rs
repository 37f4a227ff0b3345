//! What OpenSSH's configuration says about a host.
//!
//! Read here and not by a crate: those that exist take the lines below a `Match` for lines of the `Host` above it, let the
//! last value of a block win, or give up on a whole file for one line. [`lines`] reads files into blocks,
//! [`mod@resolve`] asks them about one target.
//!
//! What is understood: `Host` and `Match` (`all`, `host`, `originalhost`, `user`, `localuser`), `Include`, and the keywords
//! of [`Settings`]. `Match exec`, `canonical`, `final` and `tagged` never match. Everything that could matter and is not
//! followed is named in [`Resolved::notes`].

pub mod lines;
pub mod resolve;

pub use resolve::{Hop, Resolved, Settings, resolve};
