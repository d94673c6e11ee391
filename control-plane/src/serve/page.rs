//! Pages: their size, and the token that says where the next one begins.
//!
//! A token is opaque to callers, so that what is in it may change; it is checked when it
//! comes back, because it may be anything.

use std::fmt::Write as _;

use prost::Message;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;

use crate::serve::error;

/// How many entries a page has.
pub(super) fn size(asked: u32) -> usize {
    let asked = usize::try_from(asked).unwrap_or(MOST);
    if asked == 0 { USUAL } else { asked.min(MOST) }
}

/// A token that holds this.
pub(super) fn token(content: &impl Serialize) -> Result<String, Status> {
    let content = serde_json::to_vec(content);
    let content = content.map_err(|error| Status::internal(format!("no page token: {error}")))?;
    let check = crc32fast::hash(&content).to_be_bytes();
    let mut token = String::with_capacity(2 * (check.len() + content.len()));
    for byte in check.iter().chain(&content) {
        // Writing to a string does not fail.
        let _ = write!(token, "{byte:02x}");
    }
    Ok(token)
}

/// What a token holds; `None` for an empty one, which asks for the first page.
pub(super) fn read<T: DeserializeOwned>(token: &str) -> Result<Option<T>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    parse(token).map(Some).ok_or_else(error::page_token)
}

fn parse<T: DeserializeOwned>(token: &str) -> Option<T> {
    if token.len() > LONGEST || !token.is_ascii() {
        return None;
    }
    let (pairs, []) = token.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.iter().map(byte).collect::<Option<_>>()?;
    let (check, content) = bytes.split_first_chunk::<4>()?;
    if crc32fast::hash(content).to_be_bytes() != *check {
        return None;
    }
    serde_json::from_slice(content).ok()
}

/// What a page may still take.
pub(super) struct Room {
    size: usize,
    bytes: usize,
}

impl Room {
    /// A page of so many entries.
    pub(super) fn of(size: usize) -> Self {
        Self { size, bytes: 0 }
    }

    pub(super) fn is_left(&self) -> bool {
        self.size > 0 && self.bytes < PAGE_BYTES
    }

    pub(super) fn take<T: Message>(&mut self, entry: T) -> T {
        self.size -= 1;
        self.bytes += entry.encoded_len();
        entry
    }
}

/// A page may end with an entry of a few hundred KiB, and a receiver stops at 4 MiB.
const PAGE_BYTES: usize = 1 << 20;
const USUAL: usize = 100;
const MOST: usize = 1_000;
const LONGEST: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_within_bounds() {
        assert_eq!([size(0), size(1), size(5_000)], [USUAL, 1, MOST]);
    }

    #[test]
    fn a_token_reads_back_and_anything_else_is_refused() {
        let good = token(&(7, "ingress/default/shop")).unwrap();
        let read_back: Option<(u64, String)> = read(&good).unwrap();
        assert_eq!(read_back, Some((7, "ingress/default/shop".into())));
        assert_eq!(read::<(u64, String)>("").unwrap(), None);
        let long = "0".repeat(LONGEST + 2);
        let changed = good.replace('7', "8");
        for wrong in [
            "x",
            "00",
            "zz",
            "é",
            &good[2..],
            &good[..good.len() - 2],
            &changed,
            &long,
        ] {
            let status = read::<(u64, String)>(wrong).unwrap_err();
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{wrong}");
        }
        // Whole, and of another question.
        assert!(read::<u64>(&good).is_err());
    }
}
