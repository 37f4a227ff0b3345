//! `towline node`: virtual nodes whose pods run on a cluster.
//!
//! [`settings`] reads the configuration, [`start`] wires everything together; [`reconcile`] is the loop; [`site`] joins configuration and cluster; [`prepare`]
//! and [`effects`] are what the loop's decisions do; [`take`] is what comes of it; [`renew`] keeps volumes up to date; [`join`] brings containers that are added; [`pace`] says how often the cluster is asked.
//! [`endpoint`] opens the kubelet's HTTP API for each node: [`sessions`] and [`usage`] are what it shows of the pods, [`counted`] and [`metrics`] of the
//! program itself and [`process`] of what runs it.

mod counted;
mod effects;
mod endpoint;
mod images;
mod join;
mod metrics;
mod pace;
mod prepare;
mod process;
mod reconcile;
mod renew;
mod sessions;
mod settings;
mod site;
mod start;
mod take;
mod usage;

pub use sessions::ClusterSessions;
pub use start::{Settings, run};
