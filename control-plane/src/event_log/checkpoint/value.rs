//! The values that checkpoints share: a key's value since one checkpoint, or that it has none.
//!
//! Apart, because writing, reading and pruning must agree on how a version is found.

use std::{
    iter::{self, Peekable},
    ops::Bound,
};

use sha2::{Digest as _, Sha256};

use crate::event::Seq;
use crate::event_log::{
    chunks::{self, Value},
    frame::FrameError,
    keyed,
    pen::Pen,
    store::{Store, StoreError, Tree},
};

/// What a key and its value add to a digest.
pub(in crate::event_log) fn hash(key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update(key.len().to_be_bytes());
    hasher.update(key);
    hasher.update(value);
    let hash = hasher.finalize();
    hash.first_chunk::<16>()
        .map_or(0, |head| u128::from_be_bytes(*head))
}

/// Puts what a key's value is from a checkpoint on. `before`: the version that it has so far.
pub(super) fn put(
    pen: &mut Pen,
    escaped: &[u8],
    seq: Seq,
    before: Option<Latest>,
    hash: Option<u128>,
    value: Option<&[u8]>,
) -> Result<(), StoreError> {
    let key = version_key(escaped, seq);
    let value = value.unwrap_or_default();
    let mut stored = Vec::with_capacity(HEAD + value.len());
    stored.push(if hash.is_some() { HELD } else { GONE });
    stored.extend_from_slice(&hash.unwrap_or(0).to_be_bytes());
    let sum = checksum(&key, &stored, value);
    stored.extend_from_slice(&sum.to_be_bytes());
    stored.extend_from_slice(value);
    match before {
        Some(before) if before.seq == seq => chunks::put(pen, Tree::Entries, &key, &stored),
        Some(_) | None => chunks::put_first(pen, Tree::Entries, &key, &stored).map(drop),
    }
}

/// Takes a version away.
pub(in crate::event_log) fn remove(
    pen: &mut Pen,
    escaped: &[u8],
    seq: Seq,
) -> Result<(), StoreError> {
    chunks::remove(pen, Tree::Entries, &version_key(escaped, seq))
}

/// The version of a key that a checkpoint has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latest {
    /// The checkpoint that it came with.
    seq: Seq,
    /// The hash of its value; `None` if it has none.
    pub(super) hash: Option<u128>,
}

/// The version of a key that a checkpoint has, if any was written.
pub(super) fn latest(
    store: &Store,
    escaped: &[u8],
    seq: Seq,
) -> Result<Option<Latest>, StoreError> {
    let from = version_key(escaped, Seq(0));
    let Some(key) = chunks::last_key(store, Tree::Entries, &from, &version_key(escaped, seq))?
    else {
        return Ok(None);
    };
    let head = chunks::head(store, Tree::Entries, &key)?;
    let parsed = head.as_deref().and_then(parse_head);
    Ok(split_version(&key).map(|(_, seq)| Latest {
        seq,
        hash: parsed.and_then(|(kind, hash)| (kind == HELD).then_some(hash)),
    }))
}

/// Versions that are newer than a checkpoint, some of them.
pub(super) struct Debris {
    pub(super) keys: Vec<Vec<u8>>,
    /// Where to go on looking, if there may be more.
    pub(super) next: Option<Vec<u8>>,
}

/// Looks for versions that are newer than a checkpoint, from a key on.
pub(super) fn newer_than(
    store: &Store,
    from: &[u8],
    checkpoint: Seq,
) -> Result<Debris, StoreError> {
    let mut keys = Vec::new();
    for (looked_at, value) in
        chunks::range(store, Tree::Entries, from, Bound::Unbounded).enumerate()
    {
        let Value { key, .. } = value?;
        if looked_at >= AT_ONCE {
            let next = Some(key);
            return Ok(Debris { keys, next });
        }
        if split_version(&key).is_none_or(|(_, seq)| seq > checkpoint) {
            keys.push(key);
        }
    }
    Ok(Debris { keys, next: None })
}

/// A key and all that is stored of it, oldest first.
#[derive(Debug)]
pub(in crate::event_log) struct Group {
    pub(in crate::event_log) escaped: Vec<u8>,
    pub(in crate::event_log) versions: Vec<Version>,
}

/// What a key's value is from a checkpoint on.
#[derive(Debug)]
pub(in crate::event_log) struct Version {
    pub(in crate::event_log) seq: Seq,
    /// The value and its hash, `None` if the key has none; or why it cannot be read.
    pub(in crate::event_log) value: Result<Option<(u128, Vec<u8>)>, FrameError>,
}

/// Of each key the version that a checkpoint has, by key.
///
/// It looks for them rather than reading past the others: of a long history there are many.
pub(super) fn at(
    store: &Store,
    checkpoint: Seq,
) -> impl Iterator<Item = Result<(Vec<u8>, Version), StoreError>> {
    let mut before = None;
    iter::from_fn(move || next_at(store, &mut before, checkpoint).transpose())
}

/// The next key that has a version in a checkpoint. `before`: the end of the keys looked at.
fn next_at(
    store: &Store,
    before: &mut Option<Vec<u8>>,
    checkpoint: Seq,
) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
    while let Some(next) = chunks::next_key(store, Tree::Entries, before.as_deref())? {
        let escaped = escaped_of(&next);
        *before = Some(version_key(escaped, Seq(u64::MAX)));
        let oldest = version_key(escaped, Seq(0));
        let wanted = version_key(escaped, checkpoint);
        let Some(found) = chunks::last_key(store, Tree::Entries, &oldest, &wanted)? else {
            continue;
        };
        let mut values = chunks::range(store, Tree::Entries, &found, Bound::Included(&found));
        if let Some(value) = values.next().transpose()? {
            let key = keyed::unescape(escaped).map_or_else(Vec::new, |(key, _)| key);
            return Ok(Some((key, decode(&value))));
        }
    }
    Ok(None)
}

/// All keys from one on, with their versions.
pub(in crate::event_log) fn groups(
    store: &Store,
    from: &[u8],
) -> impl Iterator<Item = Result<Group, StoreError>> + use<> {
    Groups {
        values: chunks::range(store, Tree::Entries, from, Bound::Unbounded).peekable(),
    }
}

struct Groups<I: Iterator> {
    values: Peekable<I>,
}

impl<I: Iterator<Item = Result<Value, StoreError>>> Iterator for Groups<I> {
    type Item = Result<Group, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut group: Option<Group> = None;
        loop {
            let belongs = |next: &Result<Value, StoreError>| match (next, &group) {
                (Ok(value), Some(group)) => escaped_of(&value.key) == group.escaped,
                (Err(_), _) | (Ok(_), None) => true,
            };
            match self.values.next_if(belongs) {
                Some(Ok(value)) => {
                    let escaped = escaped_of(&value.key);
                    let group = group.get_or_insert_with(|| Group {
                        escaped: escaped.to_vec(),
                        versions: Vec::new(),
                    });
                    group.versions.push(decode(&value));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => return group.map(Ok),
            }
        }
    }
}

fn decode(value: &Value) -> Version {
    let seq = split_version(&value.key).map_or(Seq(u64::MAX), |(_, seq)| seq);
    let parse = || {
        let stored = value.bytes.as_deref().ok_or(FrameError::Length)?;
        let (head, bytes) = stored.split_at_checked(HEAD).ok_or(FrameError::Short)?;
        let (kind, hash) = parse_head(head).ok_or(FrameError::Short)?;
        let (summed, sum) = head.split_at_checked(HEAD - 4).ok_or(FrameError::Short)?;
        if sum != checksum(&value.key, summed, bytes).to_be_bytes() {
            return Err(FrameError::Checksum);
        }
        match kind {
            HELD => Ok(Some((hash, bytes.to_vec()))),
            GONE => Ok(None),
            other => Err(FrameError::Format(other)),
        }
    };
    Version {
        seq,
        value: parse(),
    }
}

fn parse_head(head: &[u8]) -> Option<(u8, u128)> {
    let (kind, rest) = head.split_first()?;
    Some((*kind, u128::from_be_bytes(*rest.first_chunk::<16>()?)))
}

fn version_key(escaped: &[u8], seq: Seq) -> Vec<u8> {
    [escaped, &seq.0.to_be_bytes()].concat()
}

fn split_version(key: &[u8]) -> Option<(&[u8], Seq)> {
    let (escaped, seq) = key.split_last_chunk::<8>()?;
    Some((escaped, Seq(u64::from_be_bytes(*seq))))
}

fn escaped_of(key: &[u8]) -> &[u8] {
    split_version(key).map_or(key, |(escaped, _)| escaped)
}

fn checksum(key: &[u8], head: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(head);
    hasher.update(value);
    hasher.finalize()
}

const HELD: u8 = 1;
const GONE: u8 = 0;
/// Kind, hash, checksum.
const HEAD: usize = 1 + 16 + 4;
const AT_ONCE: usize = 1024;
