//! Where a header ends, and whom it names.
//!
//! Apart from reading, so that it is a function of bytes. What the bytes of a whole header say is
//! read by a library; here is only how many they are, which has to be known before they are all
//! there. By HAProxy's specification, sections 2.1 and 2.2.

use std::net::SocketAddr;

use proxy_header::{ParseConfig, ProxyHeader};

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A part of a header, all of them.
    Part,
    /// A header of so many bytes.
    Header(usize),
    /// No header, whatever follows.
    Nothing,
}

/// Looks for the end of a header.
pub(super) fn find(bytes: &[u8]) -> Found {
    if begins(bytes, TEXT) {
        return find_text(bytes);
    }
    if begins(bytes, BINARY) {
        return find_binary(bytes);
    }
    Found::Nothing
}

/// The client that a whole header names; none if the sender speaks for itself, or for somebody
/// without an IP address.
pub(super) fn source(header: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    if let (true, [command, family, ..]) = (begins(header, BINARY), after(header, BINARY)) {
        // Of what follows this command nothing counts, the family included.
        if *command == LOCAL {
            return Ok(None);
        }
        if family & TRANSPORT == DATAGRAM {
            return Err(Malformed);
        }
    }
    match ProxyHeader::parse(header, ParseConfig::default()) {
        Ok((found, length)) if length == header.len() => {
            Ok(found.proxied_address().map(|address| address.source))
        }
        Ok(_) | Err(_) => Err(Malformed),
    }
}

/// The header cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

fn find_text(bytes: &[u8]) -> Found {
    let line = bytes.get(..LONGEST_TEXT).unwrap_or(bytes);
    match memchr::memchr(b'\n', line) {
        Some(end) => Found::Header(end + 1),
        None if line.len() == LONGEST_TEXT => Found::Nothing,
        None => Found::Part,
    }
}

fn find_binary(bytes: &[u8]) -> Found {
    let [_, _, high, low, ..] = after(bytes, BINARY) else {
        return Found::Part;
    };
    let rest = usize::from(u16::from_be_bytes([*high, *low]));
    let length = BINARY.len() + 4 + rest;
    if length > LONGEST {
        return Found::Nothing;
    }
    match bytes.len() < length {
        true => Found::Part,
        false => Found::Header(length),
    }
}

/// Whether the bytes begin with these, as far as they go.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let known = bytes.len().min(with.len());
    bytes.get(..known) == with.get(..known)
}

fn after<'a>(bytes: &'a [u8], begin: &[u8]) -> &'a [u8] {
    bytes.get(begin.len()..).unwrap_or_default()
}

/// What a header of version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// Bytes of a header of version 1, its end of line included.
const LONGEST_TEXT: usize = 107;

/// What a header of version 2 begins with. Two bytes follow, version with command and family with
/// transport, and two that say how many follow them.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Version 2, command LOCAL.
const LOCAL: u8 = 0x20;

/// The bits of the transport, beside those of the family.
const TRANSPORT: u8 = 0x0f;
const DATAGRAM: u8 = 0x02;

/// Bytes of a header: there is room for what balancers add to the addresses, which is skipped.
pub(super) const LONGEST: usize = BINARY.len() + 4 + 4096;
