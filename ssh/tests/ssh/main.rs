//! The transport against a real OpenSSH server, and against this machine where the same must hold.
//!
//! Each test starts a server of its own on a loopback port, as the current user. As root, accounts with other login shells
//! are made as well (and removed).

// As inside of test functions; most of these tests are functions that several tests call.
#![allow(clippy::unwrap_used)]

mod authentication;
mod commands;
mod host_keys;
mod links;
mod login_shells;
mod sshd;
