//! A piece of a message that is known to be text.
//!
//! Apart, because it shares the buffer that the message was read into: host and path of an
//! ordinary request are never copied.

use std::{fmt, ops::Range};

use bytes::Bytes;
use bytestring::ByteString;

/// UTF-8 in shared memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Text(ByteString);

impl Text {
    /// None if `bytes` are not UTF-8.
    pub fn new(bytes: Bytes) -> Option<Self> {
        ByteString::try_from(bytes).ok().map(Self)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The part of the text at `range`; empty if there is none.
    pub fn slice(&self, range: Range<usize>) -> Self {
        match self.as_str().get(range) {
            Some(part) => Self(self.0.slice_ref(part)),
            None => Self::default(),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
