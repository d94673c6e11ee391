//! Checkpoints: keyed values, shared between versions, closed by a manifest.
//!
//! Apart from the log, because a checkpoint is written beside appends, in small pieces, and
//! counts only from its manifest on. A key's value is stored once under the checkpoint that
//! changed it; a checkpoint is, of each key, the newest value that is not newer than it.

mod manifest;
mod read;
mod value;

use crate::event::Seq;
use crate::event_log::{
    chunks,
    error::CheckpointError,
    frame, keyed,
    pen::Pen,
    retained::Retained,
    store::{StoreError, Tree},
    writer::Writer,
};

pub use manifest::Checkpoint;
pub(super) use manifest::{all, newest, remove as remove_manifest};
pub(super) use read::read;
pub(super) use value::{Group, Version, groups, remove as remove_version};

/// A checkpoint that is being written.
///
/// Others may read and append meanwhile; it counts once it is finished.
#[derive(Debug)]
#[must_use = "a checkpoint counts once it is finished"]
pub struct Draft {
    checkpoint: Checkpoint,
}

/// A key, and its value or that it has none any more.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// A key and its value.
pub type Keyed = (Vec<u8>, Vec<u8>);

impl Writer {
    /// Writes a whole checkpoint: what changed since the one before it.
    pub fn checkpoint(
        &mut self,
        seq: Seq,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<Checkpoint, CheckpointError> {
        let mut draft = self.begin_checkpoint(seq)?;
        self.add_to_checkpoint(&mut draft, changes)?;
        self.finish_checkpoint(draft, seq)
    }

    /// Begins a checkpoint of the state at this place or a later one, which the log must have
    /// reached. In a log that holds nothing yet, any place will do: the log then begins behind it.
    pub fn begin_checkpoint(&mut self, seq: Seq) -> Result<Draft, CheckpointError> {
        let newest = self.newest_checkpoint()?.unwrap_or_default();
        if seq <= newest.seq {
            return Err(CheckpointError::NotNewer {
                seq,
                newest: newest.seq,
            });
        }
        self.check_reached(seq)?;
        self.reserve(0)?;
        self.write(|pen| {
            clear_draft(pen, newest.seq)?;
            pen.put(Tree::Marks, DRAFT, &frame::seal(seq.0))?;
            // Debris is looked for only if this says that there may be some.
            pen.barrier()
        })?;
        self.draft = Some(seq);
        Ok(Draft {
            checkpoint: Checkpoint { seq, ..newest },
        })
    }

    /// Adds changes. A key may come again: the last change counts.
    pub fn add_to_checkpoint(
        &mut self,
        draft: &mut Draft,
        changes: impl IntoIterator<Item = Change>,
    ) -> Result<(), CheckpointError> {
        self.check_draft(draft)?;
        for (key, value) in changes {
            let bytes = value.as_ref().map_or(0, Vec::len);
            if key.len() > MAX_KEY {
                let (bytes, limit) = (key.len(), MAX_KEY);
                return Err(CheckpointError::KeyTooLong { bytes, limit });
            }
            if bytes > MAX_VALUE {
                let limit = MAX_VALUE;
                return Err(CheckpointError::ValueTooLong { bytes, limit });
            }
            self.reserve(bytes)?;
            let change = |pen: &mut Pen| change(pen, &mut draft.checkpoint, &key, value.as_deref());
            self.write(change)?;
        }
        Ok(())
    }

    /// Closes the checkpoint, as one of the state at this place: that at which it was begun, or
    /// a later one, if everything was added that changed up to it. Once this returned, it is
    /// there whatever happens.
    #[expect(clippy::needless_pass_by_value, reason = "a finished draft is used up")]
    pub fn finish_checkpoint(
        &mut self,
        draft: Draft,
        seq: Seq,
    ) -> Result<Checkpoint, CheckpointError> {
        self.check_draft(&draft)?;
        let Draft { checkpoint: begun } = draft;
        if seq < begun.seq {
            let newest = begun.seq;
            return Err(CheckpointError::NotNewer { seq, newest });
        }
        self.check_reached(seq)?;
        // Its values stay under the place where it began: no checkpoint lies between the two.
        let checkpoint = Checkpoint { seq, ..begun };
        let first = self.last_or_zero() == Seq(0);
        self.reserve(0)?;
        self.write(|pen| {
            if first {
                Retained::store_begin(pen, checkpoint.seq.next())?;
            }
            pen.barrier()?;
            manifest::put(pen, &checkpoint)?;
            pen.remove(Tree::Marks, DRAFT)?;
            pen.barrier()
        })?;
        self.draft = None;
        if first {
            self.begin_at(checkpoint.seq.next());
            self.acknowledge(checkpoint.seq);
        }
        Ok(checkpoint)
    }

    fn check_reached(&self, seq: Seq) -> Result<(), CheckpointError> {
        let last = self.last_or_zero();
        if last > Seq(0) && seq > last {
            return Err(CheckpointError::Ahead { seq, last });
        }
        Ok(())
    }

    fn check_draft(&self, draft: &Draft) -> Result<(), CheckpointError> {
        let seq = draft.checkpoint.seq;
        if self.draft == Some(seq) {
            Ok(())
        } else {
            Err(CheckpointError::Abandoned { seq })
        }
    }

    fn newest_checkpoint(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let log = self.log();
        let found = newest(&*log.store()?);
        Ok(found.map_err(|error| log.load_error("manifests", error))?)
    }
}

/// Takes out what an unfinished checkpoint left behind; `true` if there was one.
pub(super) fn clear_draft(pen: &mut Pen, newest: Seq) -> Result<bool, StoreError> {
    if pen.store().get(Tree::Marks, DRAFT)?.is_none() {
        return Ok(false);
    }
    let mut from = Some(Vec::new());
    while let Some(key) = from {
        let debris = value::newer_than(pen.store(), &key, newest)?;
        for key in debris.keys {
            chunks::remove(pen, Tree::Entries, &key)?;
        }
        from = debris.next;
    }
    pen.remove(Tree::Marks, DRAFT)?;
    pen.barrier()?;
    Ok(true)
}

/// Puts one change, and brings count and digest up to date.
fn change(
    pen: &mut Pen,
    checkpoint: &mut Checkpoint,
    key: &[u8],
    new: Option<&[u8]>,
) -> Result<(), StoreError> {
    let escaped = keyed::escape(key);
    let latest = value::latest(pen.store(), &escaped, checkpoint.seq)?;
    let old = latest.and_then(|latest| latest.hash);
    let hash = new.map(|value| value::hash(key, value));
    if old == hash {
        return Ok(());
    }
    value::put(pen, &escaped, checkpoint.seq, latest, hash, new)?;
    checkpoint.digest = checkpoint
        .digest
        .wrapping_sub(old.unwrap_or(0))
        .wrapping_add(hash.unwrap_or(0));
    checkpoint.entries = checkpoint
        .entries
        .saturating_sub(u64::from(old.is_some()))
        .saturating_add(u64::from(hash.is_some()));
    Ok(())
}

/// The longest key of a checkpoint. Names of Kubernetes objects have at most 253 bytes.
pub const MAX_KEY: usize = 512;
/// The longest value of a checkpoint.
pub const MAX_VALUE: usize = 16 << 20;

const DRAFT: &[u8] = b"draft";
