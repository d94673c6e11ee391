//! How clients speak to us.
//!
//! Apart from messages, because what is counted and logged names it too.

use std::fmt;

/// A version of HTTP.
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

/// What client and proxy agreed to speak before the first request (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreed {
    Http1,
    Http2,
}

/// Why a connection that is to begin with a header of the PROXY protocol has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHeader {
    /// It begins with something else, or with what the header cannot be.
    Malformed,
    /// It ended in the middle.
    CutShort,
    /// The rest did not come in time.
    TimedOut,
}

impl BadHeader {
    pub const ALL: [Self; 3] = [Self::Malformed, Self::CutShort, Self::TimedOut];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::CutShort => "cut-short",
            Self::TimedOut => "timed-out",
        }
    }
}

impl fmt::Display for BadHeader {
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
