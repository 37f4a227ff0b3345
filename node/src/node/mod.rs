//! `towline node`: virtual nodes whose pods run on a cluster.
//!
//! [`start`] wires everything together; [`reconcile`] is the loop; [`site`] joins configuration and cluster; [`prepare`]
//! and [`effects`] are what the loop's decisions do; [`take`] is what comes of it; [`pace`] says how often the cluster is asked.

mod effects;
mod pace;
mod prepare;
mod reconcile;
mod site;
mod start;
mod take;

pub use site::{Common, NodeSettings};
pub use start::{KubeletSettings, Settings, run};
