//! Under construction.
mod node;
fn main() {}
