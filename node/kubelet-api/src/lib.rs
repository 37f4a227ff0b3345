//! The kubelet's HTTP API: what the API server and monitoring ask a node for.
//!
//! Over TLS only, and nobody is anonymous: each request is authenticated (`authentication`) and authorized
//! (`authorization`) before anything else is looked at, `/healthz` included. A connection (`server`) brings requests to
//! the `handler`, which knows the paths (`route`). A log's way: `query` → `run` → `since`, `backwards` → `logs`
//! (`following`: one reading for all who follow) → `stamps` → `body`. A stream's way: `streaming`. Figures for monitoring: `stats`.

mod answer;
mod authentication;
mod authorization;
mod backwards;
mod body;
mod cache;
mod configz;
mod container_logs;
mod error;
mod following;
mod handler;
mod logs;
mod options;
mod pod_list;
mod query;
mod reading;
mod reviews;
mod route;
mod run;
mod server;
mod since;
mod stamps;
mod stats;
mod streaming;
mod taking;
mod tls;
mod user;

pub use error::Error;
pub use following::Following;
pub use logs::{LogSource, LogStream};
pub use options::{Options, Pods};
pub use server::{Serving, serve};
pub use stamps::Stamps;
pub use stats::{Meters, NodeUsage};
pub use streaming::backend::{Place, Session, Sessions, Streams, read_output};

/// The size of a session's terminal.
pub use towline_ssh::Size;
