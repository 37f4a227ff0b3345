//! The configuration of `towline node`: defaults < file < environment < command line.
//!
//! Each layer is a tree whose leaves know where they come from ([`tree`]); the layers are checked against the schema of
//! the types in [`model`] and merged, and what comes out is read into the types once. So there is one list of keys, and
//! every value can be traced back to the line that it was written in.

mod check;
mod choices;
mod derive;
mod effective;
mod file;
mod flags;
mod markdown;
mod model;
mod names;
mod node;
mod path;
mod policy;
mod print;
mod problem;
mod schema;
mod spoken;
mod tree;
mod validate;
mod validate_node;
mod validate_policy;
mod values;

#[cfg(test)]
mod tests;

pub use choices::{Identity, Mistakes, Serving};
pub use effective::load;
pub use flags::Flags;
pub use markdown::markdown;
pub use model::{Config, Kubernetes};
pub use node::Node;
pub use schema::schema;
