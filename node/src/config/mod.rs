//! The configuration of `towline node`: defaults < file < environment < command line.
//!
//! Each layer is a tree whose leaves know where they come from ([`tree`]); the layers are checked against the schema of
//! the types in [`model`] and merged, and what comes out is read into the types once. So there is one list of keys, and
//! every value can be traced back to the line that it was written in.

mod flags;
mod model;
mod node;
mod path;
mod tree;
mod values;

pub use flags::Flags;
pub use model::{Cluster, Config, ImageFormat, Images, Kubelet, Kubernetes, Rewrite, ServingCertificate, Ssh};
pub use node::{GPU_RESOURCE, Node, NodeDefaults, PodDefaults, Taint, TaintEffect};
pub use values::{Duration, Quantity};
