//! The one hand that writes, and how much it may write between two barriers.
//!
//! Apart, because sled 0.34.7 survives a power cut only if a barrier falls into every one
//! of its segments. It takes a segment into use again, and cuts its file, as soon as a
//! header two segments further on is written (not: on disk) that says so; and it drops the
//! whole log if of two headers the disk has the later one only. With less than a segment
//! between two barriers neither can meet with a cut.

use std::{io, sync::Arc};

use crate::event_log::{
    room::Room,
    store::{Store, StoreError, Tree},
};

/// Puts and removes, with barriers in between where they are due.
#[derive(Debug)]
pub(super) struct Pen {
    store: Arc<Store>,
    room: Room,
    segment: u64,
    /// Position in sled's log at the last barrier.
    barrier_at: u64,
    /// Bytes and operations since the last barrier.
    bytes: u64,
    operations: u64,
}

impl Pen {
    pub(super) fn new(store: Arc<Store>, room: Room, segment: u64) -> Self {
        Self {
            barrier_at: store.written(),
            store,
            room,
            segment,
            bytes: 0,
            operations: 0,
        }
    }

    /// What has been written so far, for reading.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Returns when there is room for this much; nothing is written.
    ///
    /// sled writes a page again for every few changes in it: ten times as much is ample,
    /// beside the segment that it is in and the one that it takes next.
    pub(super) fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let needed = bytes.saturating_mul(10).saturating_add(2 * self.segment);
        self.room.reserve(needed)
    }

    /// Like `reserve` for little, and content with less: for what will free space.
    pub(super) fn reserve_to_free(&mut self) -> io::Result<()> {
        self.room.reserve(self.segment)
    }

    pub(super) fn put(&mut self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.store.put(tree, key, value)?;
        self.spend(key.len() + value.len())
    }

    pub(super) fn remove(&mut self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        self.store.remove(tree, key)?;
        self.spend(key.len())
    }

    /// Hands everything to the kernel: enough against a kill, not against a power cut.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.store.flush()
    }

    /// Returns when everything is on disk.
    pub(super) fn barrier(&mut self) -> Result<(), StoreError> {
        self.store.barrier()?;
        self.barrier_at = self.store.written();
        self.bytes = 0;
        self.operations = 0;
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.operations += 1;
        let due = self.bytes >= self.segment / BYTES_SHARE
            || self.operations >= self.segment / OPERATION_BYTES
            || self.store.written() / self.segment != self.barrier_at / self.segment;
        if due { self.barrier() } else { Ok(()) }
    }
}

/// sled writes up to some sixteen times as much as it is given (measured with the shapes
/// of records and checkpoints): this share of a segment then is half of one.
const BYTES_SHARE: u64 = 32;

/// What a small change is taken to cost in sled's log.
const OPERATION_BYTES: u64 = 8192;
