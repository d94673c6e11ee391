//! The one writer of a log.
//!
//! Apart from `EventLog`, so that there is one by construction: whoever holds it writes, and
//! everybody else reads.

use std::{path::PathBuf, sync::Arc};

use crate::event::Seq;
use crate::event_log::{
    Entry, EventLog,
    error::{AppendError, OpenError, WriteError},
    mark::Mark,
    open::{self, OpenReport},
    pen::Pen,
    records,
    retained::Retained,
    store::StoreError,
};

/// Appends, writes checkpoints, compacts. All of it blocks until the disk has it.
#[derive(Debug)]
pub struct Writer {
    /// `None` after a write failed.
    pen: Option<Pen>,
    mark: Mark,
    /// Dropped after the pen, which holds the store: with the log its folder is given back.
    log: EventLog,
    /// The checkpoint that is being written.
    pub(super) draft: Option<Seq>,
    /// Records appended since the log was opened.
    appended: usize,
}

impl Writer {
    pub(super) fn new(log: EventLog, pen: Pen, mark: Mark) -> Self {
        Self {
            pen: Some(pen),
            mark,
            log,
            draft: None,
            appended: 0,
        }
    }

    /// Appends a batch: all of it, on disk, when this returns; none of it if it fails.
    ///
    /// The first record follows the last one of the log; in an empty log it may have any number.
    pub fn append(&mut self, batch: &[Entry]) -> Result<(), AppendError> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
            return Ok(());
        };
        let before = self.last_or_zero();
        check(before, batch)?;
        self.reserve(
            batch
                .iter()
                .map(|entry| entry.bytes.len() + ENTRY_OVERHEAD)
                .sum(),
        )?;
        let begins = (before == Seq(0)).then_some(first.seq);
        self.write(|pen| {
            if let Some(begin) = begins {
                Retained::store_begin(pen, begin)?;
            }
            let mut remaining = u32::try_from(batch.len()).unwrap_or(u32::MAX);
            for entry in batch {
                remaining = remaining.saturating_sub(1);
                records::put(pen, entry, remaining)?;
            }
            pen.barrier()
        })?;
        if let Some(begin) = begins {
            self.begin_at(begin);
        }
        self.acknowledge(last.seq);
        self.appended = self.appended.saturating_add(batch.len());
        Ok(())
    }

    /// Opens the log again after a write failed. Nothing remains of what failed.
    ///
    /// Readers go on: what they hold is of no concern, and they wait for nothing.
    pub fn reopen(&mut self) -> Result<OpenReport, OpenError> {
        self.pen = None;
        self.draft = None;
        let (pen, mark, report) = open::reopen(&self.log)?;
        self.pen = Some(pen);
        self.mark = mark;
        self.appended = 0;
        Ok(report)
    }

    /// Moves all of the log out of the way, and goes on with an empty one; says where it went.
    pub fn restart(&mut self) -> Result<PathBuf, OpenError> {
        self.pen = None;
        self.draft = None;
        let (pen, mark, aside) = open::restart(&self.log)?;
        self.pen = Some(pen);
        self.mark = mark;
        self.appended = 0;
        Ok(aside)
    }

    /// Opens the log again if much was appended since it was opened; says whether it did.
    ///
    /// sled notes where its pages lie only as it opens, and an open reads all that was written
    /// since: after months it would take many seconds, and like this some tenths of one.
    pub fn refresh(&mut self) -> Result<bool, OpenError> {
        let is_due = self.appended >= REFRESH_AFTER;
        if is_due {
            self.reopen()?;
        }
        Ok(is_due)
    }

    /// Where others read this log.
    pub fn log(&self) -> EventLog {
        self.log.clone()
    }

    pub(super) fn last_or_zero(&self) -> Seq {
        self.log.last().unwrap_or(Seq(0))
    }

    /// Returns when the disk has room for records of so many bytes in all.
    pub fn reserve(&mut self, bytes: usize) -> Result<(), WriteError> {
        let pen = self.pen.as_mut().ok_or(WriteError::Unusable)?;
        pen.reserve(bytes).map_err(WriteError::NoRoom)
    }

    /// The same for a little, with less to spare, for what will free space.
    pub(super) fn reserve_to_free(&mut self) -> Result<(), WriteError> {
        let pen = self.pen.as_mut().ok_or(WriteError::Unusable)?;
        pen.reserve_to_free().map_err(WriteError::NoRoom)
    }

    /// Writes. After a failure nothing more is written before [`Self::reopen`]: sled
    /// refuses, and what is half done must be taken out first.
    pub(super) fn write<T>(
        &mut self,
        write: impl FnOnce(&mut Pen) -> Result<T, StoreError>,
    ) -> Result<T, WriteError> {
        let mut pen = self.pen.take().ok_or(WriteError::Unusable)?;
        let written = write(&mut pen).map_err(WriteError::Failed)?;
        self.pen = Some(pen);
        Ok(written)
    }

    /// Everything up to here is on disk.
    pub(super) fn acknowledge(&mut self, last: Seq) {
        self.log.set_last(last);
        if let Err(error) = self.mark.note(last) {
            // It only helps to tell damage from a torn tail; the record itself is safe.
            tracing::warn!(%error, "cannot note beside the log how far it was acknowledged");
        }
    }

    pub(super) fn begin_at(&self, begin: Seq) {
        let retained = Retained::clone(&self.log.retained());
        self.retain(Retained { begin, ..retained });
    }

    pub(super) fn retain(&self, retained: Retained) {
        self.log.set_retained(Arc::new(retained));
    }
}

/// The longest record.
pub const MAX_RECORD: usize = 16 << 20;
/// The most records in a batch.
pub const MAX_BATCH: usize = 1 << 16;

/// What a record costs beside its bytes, generously.
const ENTRY_OVERHEAD: usize = 128;

/// A log that changes once a second is opened again about once a day.
pub(super) const REFRESH_AFTER: usize = 100_000;

/// Refuses what cannot follow, and what is too much.
fn check(before: Seq, batch: &[Entry]) -> Result<(), AppendError> {
    if batch.len() > MAX_BATCH {
        return Err(AppendError::BatchTooLong {
            records: batch.len(),
            limit: MAX_BATCH,
        });
    }
    let mut expected = match batch.first() {
        Some(first) if before == Seq(0) => first.seq.max(Seq(1)),
        Some(_) | None => before.next(),
    };
    for entry in batch {
        if entry.seq != expected {
            return Err(AppendError::Gap {
                expected,
                found: entry.seq,
            });
        }
        if entry.bytes.len() > MAX_RECORD {
            return Err(AppendError::RecordTooLong {
                seq: entry.seq,
                bytes: entry.bytes.len(),
                limit: MAX_RECORD,
            });
        }
        expected = expected.next();
    }
    Ok(())
}
