//! The kubelet's HTTP API: what the API server and monitoring ask a node for.
//!
//! Over TLS only, and nobody is anonymous: each request is authenticated ([`authentication`]) and authorized
//! ([`authorization`]) before anything else is looked at, `/healthz` included.

mod error;
mod logs;
mod options;
mod reading;
mod server;

pub use error::Error;
pub use logs::{LogSource, LogStream};
pub use options::{Options, Pods};
pub use server::{Serving, serve};
