//! Certificates from a CA that speaks ACME (RFC 8555), for hosts that have none.

pub mod client;
pub mod key;
