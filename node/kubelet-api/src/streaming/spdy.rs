//! SPDY/3.1 as the Go side of Kubernetes speaks it, the server's half: streams of bytes with headers, over one connection.
//! There is no flow control in it; a stream that nobody reads holds up all the others of its connection.

mod dictionary;
mod headers;
mod reader;
mod writer;

pub use headers::Headers;
pub use reader::{Reader, Stream};
pub use writer::write;

/// The status of a session that ends as it should, in a GOAWAY.
pub const GOING_WELL: u32 = 0;
/// The status of a session that ends because of what the client sent, in a GOAWAY.
pub const PROTOCOL_ERROR: u32 = 1;
/// The status of a stream that is not wanted, in a RST_STREAM.
pub const REFUSED_STREAM: u32 = 3;
/// The status of a stream that came to an early end, in a RST_STREAM.
pub const CANCEL: u32 = 5;

/// The version in each control frame, with the bit that says that it is one.
const CONTROL: u16 = 0x8003;

/// The kinds of control frames.
mod kind {
    pub const SYN_STREAM: u16 = 1;
    pub const SYN_REPLY: u16 = 2;
    pub const RST_STREAM: u16 = 3;
    pub const PING: u16 = 6;
    pub const GOAWAY: u16 = 7;
    pub const HEADERS: u16 = 8;
}

/// The flag of a stream's last frame.
const FIN: u8 = 1;
