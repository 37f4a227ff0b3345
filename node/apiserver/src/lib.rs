//! The Kubernetes side of a virtual node: who it is, that it lives, which pods it has, what they refer to, and what
//! became of them.
//!
//! Everything that talks to an API server is here and nothing else is: [`identity`] makes a [`Session`] (one per
//! virtual node), [`node`] keeps the Node and its Lease, [`pods`] is the complete list of what should run,
//! [`references`] reads what a pod needs, and [`status`] and [`events`] report what became of it.

pub mod error;
pub mod events;
pub mod identity;
pub mod node;
pub mod pods;
pub mod references;
pub mod status;
mod watching;

pub use error::Error;
pub use identity::{Credentials, Session};
