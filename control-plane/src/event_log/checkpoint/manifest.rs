//! What closes a checkpoint: how many values it has, and their digest.
//!
//! Apart, because a checkpoint exists exactly if its manifest does.

use std::{fmt, ops::Bound};

use crate::event::Seq;
use crate::event_log::{
    frame::FrameError,
    pen::Pen,
    retained::LoadError,
    store::{Pair, Store, StoreError, Tree},
};

/// A checkpoint that is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// The state that it holds is the fold of all records up to here.
    pub seq: Seq,
    /// How many keys have a value.
    pub entries: u64,
    /// The same for equal keys and values, in whatever order they came to be.
    pub digest: u128,
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seq,
            entries,
            digest,
        } = self;
        write!(f, "checkpoint at {seq} ({entries} entries, {digest:032x})")
    }
}

pub(in crate::event_log) fn put(pen: &mut Pen, checkpoint: &Checkpoint) -> Result<(), StoreError> {
    let mut stored = Vec::with_capacity(BYTES);
    stored.extend_from_slice(&checkpoint.entries.to_be_bytes());
    stored.extend_from_slice(&checkpoint.digest.to_be_bytes());
    let sum = checksum(checkpoint.seq, &stored);
    stored.extend_from_slice(&sum.to_be_bytes());
    pen.put(Tree::Manifests, &checkpoint.seq.0.to_be_bytes(), &stored)
}

pub(in crate::event_log) fn remove(pen: &mut Pen, seq: Seq) -> Result<(), StoreError> {
    pen.remove(Tree::Manifests, &seq.0.to_be_bytes())
}

/// All checkpoints, oldest first.
pub(in crate::event_log) fn all(store: &Store) -> Result<Vec<Checkpoint>, LoadError> {
    let all = store.range(Tree::Manifests, Bound::Unbounded, Bound::Unbounded);
    all.map(|pair| decode(&pair?)).collect()
}

/// The newest checkpoint.
pub(in crate::event_log) fn newest(store: &Store) -> Result<Option<Checkpoint>, LoadError> {
    let mut all = store.range(Tree::Manifests, Bound::Unbounded, Bound::Unbounded);
    all.next_back().map(|pair| decode(&pair?)).transpose()
}

fn decode((key, stored): &Pair) -> Result<Checkpoint, LoadError> {
    let key = key.first_chunk::<8>().ok_or(FrameError::Short)?;
    let seq = Seq(u64::from_be_bytes(*key));
    let (head, sum) = stored
        .split_at_checked(BYTES - 4)
        .ok_or(FrameError::Short)?;
    if sum != checksum(seq, head).to_be_bytes() {
        return Err(FrameError::Checksum.into());
    }
    let (entries, digest) = head.split_first_chunk::<8>().ok_or(FrameError::Short)?;
    let digest = digest.first_chunk::<16>().ok_or(FrameError::Short)?;
    Ok(Checkpoint {
        seq,
        entries: u64::from_be_bytes(*entries),
        digest: u128::from_be_bytes(*digest),
    })
}

fn checksum(seq: Seq, stored: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&seq.0.to_be_bytes());
    hasher.update(stored);
    hasher.finalize()
}

const BYTES: usize = 8 + 16 + 4;
