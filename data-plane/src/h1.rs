//! HTTP/1.1 as bytes: reading and writing of heads and bodies, for both sides of the proxy.
//!
//! A codec of our own on httparse, because hyper's does not refuse what must be refused
//! (a message with two framings, a bare line feed) and spends in user time what features need.
//! Below `front` and `upstream`, which have the conversation; here is only its grammar.

mod chunked;
mod chunks;
mod decoder;
mod encode;
mod framing;
mod input;
mod output;
mod reader;
mod request;
mod response;
mod scan;
mod sender;

use chunks::ChunkWriter;
pub use decoder::Decoder;
pub use encode::{ResponseFraming, request_head, response_head};
pub use framing::{Framing, FramingError, may_have_body};
pub use input::{Fill, Input};
pub use output::Output;
pub use reader::BodyReader;
pub use request::{Hosts, RequestError, RequestHead, parse_request};
pub use response::{ResponseError, ResponseHead, parse_response};
pub use scan::{HeadScanner, Scan};
pub use sender::{BodySender, SendError};

/// Header fields that the parsers have room for.
pub const MAX_FIELDS: usize = 128;
