//! `towline node`: virtual nodes whose pods run on a cluster.
//!
//! [`settings`] reads the configuration, [`start`] wires everything together; [`reconcile`] is the loop; [`site`] joins configuration and cluster; [`prepare`]
//! and [`effects`] are what the loop's decisions do; [`take`] is what comes of it; [`pace`] says how often the cluster is asked.
//! [`endpoint`] opens the kubelet's HTTP API for each node.

mod effects;
mod endpoint;
mod pace;
mod prepare;
mod reconcile;
mod sessions;
mod settings;
mod site;
mod start;
mod take;

pub use start::{Settings, run};
