//! The log proper: one record under each sequence number.
//!
//! Apart from `Writer` and `EventLog`, which decide when to write and what may be read.

use std::ops::Bound;

use crate::event::Seq;
use crate::event_log::{
    Entry, chunks,
    frame::{self, FrameError},
    pen::Pen,
    store::{Store, StoreError, Tree},
};

/// Puts a record at a place where none is, of whose batch `remaining` are still to come.
pub(super) fn put(pen: &mut Pen, entry: &Entry, remaining: u32) -> Result<(), StoreError> {
    let stored = frame::encode(entry, remaining);
    chunks::put_first(pen, Tree::Records, &key(entry.seq), &stored).map(drop)
}

/// Takes a record away.
pub(super) fn remove(pen: &mut Pen, seq: Seq) -> Result<(), StoreError> {
    chunks::remove(pen, Tree::Records, &key(seq))
}

/// What is there between two places, both included.
pub(super) fn range(
    store: &Store,
    from: Seq,
    to: Seq,
) -> impl Iterator<Item = Result<Found, StoreError>> + use<> {
    chunks::range(store, Tree::Records, &key(from), Bound::Included(&key(to))).map(|value| {
        let value = value?;
        let seq = sequence(&value.key);
        let record = match value.bytes {
            Some(bytes) => frame::decode(seq, &bytes),
            None => Err(FrameError::Length),
        };
        Ok(Found { seq, record })
    })
}

/// The last place before another at which there is something, whole or not.
pub(super) fn last_before(store: &Store, seq: Seq) -> Result<Option<Seq>, StoreError> {
    let before = Bound::Excluded(&key(seq)[..]);
    let mut all = store.range(Tree::Records, Bound::Unbounded, before);
    match all.next_back() {
        Some(pair) => Ok(Some(sequence(&pair?.0))),
        None => Ok(None),
    }
}

/// The places before another at which there is something.
pub(super) fn before(store: &Store, seq: Seq) -> Result<Vec<Seq>, StoreError> {
    let before = Seq(seq.0.saturating_sub(1));
    let found = range(store, Seq(0), before).map(|found| Ok(found?.seq));
    found.collect()
}

/// What lies at a place: a record and how many of its batch follow, or why not.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) seq: Seq,
    pub(super) record: Result<(Entry, u32), FrameError>,
}

/// Big-endian, so that the order of keys is the order of numbers.
fn key(seq: Seq) -> [u8; 8] {
    seq.0.to_be_bytes()
}

fn sequence(key: &[u8]) -> Seq {
    Seq(key
        .first_chunk::<8>()
        .map_or(0, |key| u64::from_be_bytes(*key)))
}
