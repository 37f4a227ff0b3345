//! The Node object and its Lease.
//!
//! [`description`] is what a node says about itself; `object` is what has to be written for it, `conditions` and
//! `lease` the parts of it that have rules of their own, all pure; [`keeper`] does the writing. The Node is never deleted:
//! the control plane would force-delete its pods.

mod conditions;
pub mod description;
mod instance;
pub mod keeper;
mod lease;
mod object;

pub use description::{NodeConditionSpec, NodeDescription};
pub use keeper::NodeKeeper;
