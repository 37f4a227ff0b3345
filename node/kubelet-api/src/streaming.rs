//! Streams into containers: `exec`, `attach`, `port-forward`. A request (`requests`) is checked, its connection taken over
//! (`upgrade`) by one of two protocols (`spdy`, `websocket`), and what it carries is brought to a process (`command`) or a
//! port (`ports`) of the far side (`backend`).

pub mod backend;
mod command;
mod connection;
#[cfg(test)]
mod fuzz;
mod pipe;
mod ports;
mod requests;
mod seats;
mod spdy;
mod upgrade;
mod websocket;

pub use connection::IDLE;
pub use requests::Requests;
pub use seats::Seats;
pub use upgrade::Ticket;

use connection::{Activity, Fault};
