//! Streams into containers: `exec`, `attach`, `port-forward`.

pub mod backend;
