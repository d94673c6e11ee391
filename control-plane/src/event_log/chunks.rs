//! Values of any length in a store of short ones.
//!
//! Apart, because the bound is sled's: it splits a leaf by the number of its values, not by
//! their length, and puts a leaf that outgrows a quarter of a segment into `blobs/`, which
//! it never syncs. About twenty chunks and their keys must therefore fit in that quarter.

use std::{iter::Peekable, ops::Bound};

use crate::event_log::{
    pen::Pen,
    store::{Pair, Store, StoreError, Tree},
};

/// Puts a value in place of any that is there.
pub(super) fn put(pen: &mut Pen, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
    let chunks = put_first(pen, tree, key, value)?;
    // What was there before may have been longer.
    remove_from(pen, tree, key, chunks)
}

/// Puts a value where none is, and returns of how many chunks it is.
pub(super) fn put_first(
    pen: &mut Pen,
    tree: Tree,
    key: &[u8],
    value: &[u8],
) -> Result<u16, StoreError> {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    let (first, rest) = value.split_at(value.len().min(CHUNK - LENGTH));
    let mut head = Vec::with_capacity(LENGTH + first.len());
    head.extend_from_slice(&length.to_be_bytes());
    head.extend_from_slice(first);
    pen.put(tree, &chunk_key(key, 0), &head)?;
    let mut number = 1;
    for chunk in rest.chunks(CHUNK) {
        pen.put(tree, &chunk_key(key, number), chunk)?;
        number = number.saturating_add(1);
    }
    Ok(number)
}

/// Takes away a value.
pub(super) fn remove(pen: &mut Pen, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
    remove_from(pen, tree, key, 0)
}

/// The values of a tree between two keys, by key; the bounds are keys without chunk number.
pub(super) fn range(
    store: &Store,
    tree: Tree,
    from: &[u8],
    to: Bound<&[u8]>,
) -> Values<impl Iterator<Item = Result<Pair, StoreError>> + use<>> {
    let from = chunk_key(from, 0);
    let last = match to {
        Bound::Included(key) => Bound::Included(chunk_key(key, u16::MAX)),
        Bound::Excluded(key) => Bound::Excluded(chunk_key(key, 0)),
        Bound::Unbounded => Bound::Unbounded,
    };
    let pairs = store.range(
        tree,
        Bound::Included(&from),
        last.as_ref().map(Vec::as_slice),
    );
    Values {
        pairs: pairs.peekable(),
    }
}

/// The first bytes of the value under a key: all of it, or a few thousand.
pub(super) fn head(store: &Store, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let first = store.get(tree, &chunk_key(key, 0))?;
    Ok(first.and_then(|first| first.get(LENGTH..).map(<[u8]>::to_vec)))
}

/// The next key behind one that has a value, or the first of all.
pub(super) fn next_key(
    store: &Store,
    tree: Tree,
    before: Option<&[u8]>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let before = before.map(|key| chunk_key(key, u16::MAX));
    let from = before.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let next = store
        .range(tree, from, Bound::Unbounded)
        .next()
        .transpose()?;
    Ok(next.map(|(key, _)| split_key(&key).0.to_vec()))
}

/// The last key between two, both included, that has a value.
pub(super) fn last_key(
    store: &Store,
    tree: Tree,
    from: &[u8],
    to: &[u8],
) -> Result<Option<Vec<u8>>, StoreError> {
    let (from, to) = (chunk_key(from, 0), chunk_key(to, u16::MAX));
    let mut pairs = store.range(tree, Bound::Included(&from), Bound::Included(&to));
    let last = pairs.next_back().transpose()?;
    Ok(last.map(|(key, _)| split_key(&key).0.to_vec()))
}

/// A value, or what is left of one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) key: Vec<u8>,
    /// `None` if some of its chunks are missing.
    pub(super) bytes: Option<Vec<u8>>,
}

/// Puts chunks together.
pub(super) struct Values<I: Iterator> {
    pairs: Peekable<I>,
}

impl<I: Iterator<Item = Result<Pair, StoreError>>> Iterator for Values<I> {
    type Item = Result<Value, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (key, first) = match self.pairs.next()? {
            Ok(pair) => pair,
            Err(error) => return Some(Err(error)),
        };
        let (key, number) = split_key(&key);
        let key = key.to_vec();
        let mut whole = match first.split_first_chunk::<LENGTH>() {
            Some((length, bytes)) if number == 0 => {
                let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
                Some((length, bytes.to_vec()))
            }
            _ => None,
        };
        let mut expected = number;
        loop {
            let same = |next: &Result<Pair, StoreError>| {
                next.as_ref()
                    .is_ok_and(|(next, _)| split_key(next).0 == key)
            };
            match self.pairs.next_if(same) {
                Some(Ok((next, bytes))) => {
                    expected = expected.saturating_add(1);
                    match &mut whole {
                        Some((_, all)) if split_key(&next).1 == expected => all.extend(bytes),
                        _ => whole = None,
                    }
                }
                Some(Err(error)) => return Some(Err(error)),
                None => break,
            }
        }
        let bytes = whole.and_then(|(length, all)| (all.len() == length).then_some(all));
        Some(Ok(Value { key, bytes }))
    }
}

/// Bytes of value under one of sled's keys.
const CHUNK: usize = 4096;
/// Bytes before the first chunk that say how long the value is.
const LENGTH: usize = 4;

/// Takes away the chunks from a number on, whichever are there, the last one first.
///
/// Whatever ends this half-way leaves the value's beginning, so that it is found, and taken away
/// by the next attempt. What is left of one that was cut off otherwise goes, too: chunks behind a
/// missing one would else be taken for a part of whatever is put there next.
fn remove_from(pen: &mut Pen, tree: Tree, key: &[u8], first: u16) -> Result<(), StoreError> {
    let (from, to) = (chunk_key(key, first), chunk_key(key, u16::MAX));
    let chunks = pen
        .store()
        .range(tree, Bound::Included(&from), Bound::Included(&to));
    let keys: Result<Vec<_>, StoreError> = chunks.map(|chunk| Ok(chunk?.0)).collect();
    for key in keys?.iter().rev() {
        pen.remove(tree, key)?;
    }
    Ok(())
}

fn chunk_key(key: &[u8], number: u16) -> Vec<u8> {
    [key, &number.to_be_bytes()].concat()
}

fn split_key(key: &[u8]) -> (&[u8], u16) {
    match key.split_last_chunk::<2>() {
        Some((key, number)) => (key, u16::from_be_bytes(*number)),
        None => (key, u16::MAX),
    }
}
