//! The Node object and its Lease.
//!
//! [`description`] is what a node says about itself. Pure: `object` is what has to be written for it, `applied` what of it
//! is ours, `conditions` the rules for these. `lease` says that we live and that nobody else is this node; [`keeper`] does
//! the writing. The Node is never deleted: the control plane would force-delete its pods.

mod applied;
mod conditions;
pub mod description;
mod instance;
pub mod keeper;
mod lease;
mod object;

pub use description::{NodeConditionSpec, NodeDescription};
pub use keeper::NodeKeeper;
