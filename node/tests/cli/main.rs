//! The real program on this machine: no target, batch system `host`, no container runtime, a home directory of its own.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod here;
mod listing;
mod node;
mod render;
mod run;
mod sessions;
mod top;
