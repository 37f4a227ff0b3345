//! The Node object and its Lease.

pub mod description;
pub mod keeper;

pub use description::{NodeConditionSpec, NodeDescription};
pub use keeper::NodeKeeper;
