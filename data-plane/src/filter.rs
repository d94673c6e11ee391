//! Which header fields pass the proxy, and which speak only of one connection.
//!
//! Pure, and apart from the codecs: the rules are the same for every protocol. Each field is
//! put into its class once, as it is read.

mod fields;
mod options;

pub use fields::{RequestField, ResponseField, may_be_trailer, request_field, response_field};
pub use options::{ConnectionOptions, lists, remove_named};
