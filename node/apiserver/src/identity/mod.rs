//! Who a virtual node is: credentials, the connection made from them, and the certificates that go with it.
//!
//! [`credentials`] turns what the configuration says into a connection's configuration; [`csr`] has certificates signed
//! by the cluster; [`pair`] is a certificate with its key, in memory and on disk; [`rotation`] replaces the client's in
//! time; [`serving`] is the certificate of our own endpoint.

pub mod client_ca;
pub mod credentials;
mod csr;
mod files;
mod pair;
mod rotation;
pub mod serving;
mod session;

pub use client_ca::{ClientCa, client_ca};
pub use credentials::Credentials;
pub use serving::{Serving, serving};
pub use session::Session;

pub(crate) use files::{read_optional, write_private};
