//! The head of a request, in the one form that is matched and forwarded.
//!
//! Apart from the body: the head is read, routed and edited whole; the body only passes.

use std::fmt;

use http::{HeaderMap, Method};

use super::Text;

/// What a request asks for.
#[derive(Debug)]
pub struct Head {
    pub method: Method,
    pub protocol: Protocol,
    pub scheme: Scheme,
    /// Canonical host and, where the client named one, port: what the upstream is told. Empty
    /// for an HTTP/1.0 client that names none.
    pub authority: Text,
    /// Bytes of the authority that are the host.
    pub host_len: usize,
    /// Canonical path, and the query as it came.
    pub target: Text,
    /// Bytes of the target that are the path.
    pub path_len: usize,
    /// End-to-end fields only; nothing that frames the message or speaks of the connection, no
    /// `Host`, and nothing that claims who forwarded it.
    pub headers: HeaderMap,
    /// The client takes trailer fields.
    pub takes_trailers: bool,
    /// The client asks to go on in the WebSocket protocol.
    pub upgrade: bool,
}

impl Head {
    pub fn host(&self) -> &str {
        self.authority
            .as_str()
            .get(..self.host_len)
            .unwrap_or_default()
    }

    pub fn path(&self) -> &str {
        self.target
            .as_str()
            .get(..self.path_len)
            .unwrap_or_default()
    }
}

/// How the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http10,
    Http11,
    Http2,
}

impl Protocol {
    pub const ALL: [Self; 3] = [Self::Http10, Self::Http11, Self::Http2];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "http/1.0",
            Self::Http11 => "http/1.1",
            Self::Http2 => "http/2",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}
