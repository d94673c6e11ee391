//! Writes a body of unknown length.
//!
//! Apart from `chunked`, which reads: what is written has no extensions and one spelling.

use std::io::Write;

use bytes::Bytes;
use http::HeaderMap;

use super::Output;

/// Writes the chunks of one body.
#[derive(Debug, Default)]
pub(super) struct ChunkWriter {
    line: Vec<u8>,
}

impl ChunkWriter {
    /// A chunk. Nothing is written for no bytes, which would mean the end.
    pub(super) fn data(&mut self, output: &mut Output, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.line.clear();
        // Writing to memory cannot fail.
        let _always_ok = write!(self.line, "{:x}\r\n", bytes.len());
        output.put_slice(&self.line);
        output.put(bytes);
        output.put_slice(b"\r\n");
    }

    /// The end, with trailer fields.
    pub(super) fn trailers(&mut self, output: &mut Output, fields: &HeaderMap) {
        self.line.clear();
        self.line.extend_from_slice(b"0\r\n");
        for (name, value) in fields {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                self.line.extend_from_slice(part);
            }
        }
        self.line.extend_from_slice(b"\r\n");
        output.put_slice(&self.line);
    }

    /// The end.
    pub(super) fn end(output: &mut Output) {
        output.put_slice(b"0\r\n\r\n");
    }
}
