//! Who a virtual node is: credentials, the connection made from them, and the certificates that go with it.

pub mod client_ca;
pub mod credentials;
pub mod serving;
pub mod session;

pub use client_ca::{ClientCa, client_ca};
pub use credentials::Credentials;
pub use serving::{Serving, serving};
pub use session::Session;
