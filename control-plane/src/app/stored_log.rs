//! The event log as the engine and the history see it: records instead of bytes.
//!
//! Here, because it joins two things that do not name each other: the codec of records and
//! checkpoints, and the log that stores bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use serde_json::json;
use tokio::time::Instant;

use crate::app::compaction::Compacting;
use crate::checkpoint::{self, RestoreError, Restored};
use crate::clock;
use crate::engine::{Log, LogError};
use crate::event::codec::{self, DecodeError};
use crate::event::{Class, Epoch, Record, Seq};
use crate::event_log::{Draft, Entry, EventLog, ReadError, Writer};
use crate::history::archive::{Archive, ArchiveError, Records, Want};
use crate::identity;
use crate::lease::Office;
use crate::metrics::log::LogMetrics;
use crate::model::key::ObjectKey;
use crate::model::object::Spec;
use crate::model::time::Timestamp;
use crate::project::Fold;
use crate::state::endpoints::{HeldSlice, SliceChange};

/// The term that this replica is in, if it leads.
pub(super) type InOffice = Arc<ArcSwapOption<Office>>;

/// How much of the past is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    /// Records before the newest that are kept at least, of every class.
    pub(super) records: u64,
    /// How long an endpoint that is not seen again counts at a restart, in milliseconds.
    pub(super) endpoints_millis: i64,
}

/// The engine's side: the only one that writes.
#[derive(Debug)]
pub(super) struct StoredLog {
    writer: Writer,
    /// The folder of keys, which knows the epoch even if the log is lost.
    keys: PathBuf,
    /// In whose name is written; nobody's while a leader is followed.
    office: InOffice,
    keep: Keep,
    metrics: LogMetrics,
    compacting: Compacting,
    /// The checkpoint that is being stored.
    draft: Option<Draft>,
    /// From where on endpoints are to be looked at that may have expired.
    expiring: Option<Vec<u8>>,
    /// The longest batch that could not be appended since one could, in bytes.
    refused: usize,
}

impl StoredLog {
    /// Writes to this log, and keeps so much of the past.
    pub(super) fn new(
        writer: Writer,
        keys: PathBuf,
        office: InOffice,
        keep: Keep,
        metrics: LogMetrics,
    ) -> Self {
        metrics.writable(true);
        Self {
            writer,
            keys,
            office,
            keep,
            metrics,
            compacting: Compacting::default(),
            draft: None,
            expiring: None,
            refused: 0,
        }
    }
}

impl Log for StoredLog {
    fn claim(&mut self, epoch: Epoch) -> Result<(), LogError> {
        identity::claim(&self.keys, epoch).map_err(LogError::new)?;
        match self.office.load_full() {
            Some(office) if !office.covers(epoch) => {
                // The Lease has to be taken anew, for a term above this epoch.
                office.resign();
                Err(LogError::Deposed)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        // Once for all of them: what is appended in part is not known to be.
        let office = self.office.load();
        if office.as_ref().is_some_and(|office| !office.holds()) {
            return Err(LogError::Deposed);
        }
        drop(office);
        for records in records.chunks(AT_ONCE) {
            let entries: Result<Vec<Entry>, _> = records.iter().map(entry).collect();
            let entries = entries.map_err(LogError::new)?;
            let began = Instant::now();
            if let Err(error) = self.writer.append(&entries) {
                self.metrics.writable(false);
                let bytes = entries.iter().map(|entry| entry.bytes.len()).sum();
                self.refused = self.refused.max(bytes);
                return Err(LogError::new(error));
            }
            self.refused = 0;
            self.metrics.appended(records, began.elapsed());
        }
        Ok(())
    }

    fn resume(&mut self, after: Seq) -> Result<Vec<Record>, LogError> {
        // What its last steps came to is not known.
        self.compacting = Compacting::default();
        self.draft = None;
        self.expiring = None;
        self.writer.reopen().map_err(LogError::new)?;
        // A disk with room for a little would freeze again as soon as everything is listed.
        self.writer.reserve(self.refused).map_err(LogError::new)?;
        self.metrics.writable(true);
        let log = self.writer.log();
        if log.last().is_none_or(|last| last <= after) {
            return Ok(Vec::new());
        }
        let entries = log.read(after.next(), None).map_err(LogError::new)?;
        entries
            .map(|entry| decode(&entry.map_err(LogError::new)?).map_err(LogError::new))
            .collect()
    }

    fn restart(&mut self) -> Result<(), LogError> {
        self.compacting = Compacting::default();
        self.draft = None;
        self.expiring = None;
        let aside = self.writer.restart().map_err(LogError::new)?;
        tracing::warn!(aside = %aside.display(), "the event log begins anew; what it held is there");
        Ok(())
    }

    fn begin_checkpoint(&mut self, seq: Seq) -> Result<(), LogError> {
        self.draft = None;
        let begun = self.writer.begin_checkpoint(seq);
        self.draft = Some(begun.map_err(LogError::new)?);
        Ok(())
    }

    fn add_to_checkpoint(
        &mut self,
        changed: &mut dyn Iterator<Item = Result<checkpoint::Entry, LogError>>,
    ) -> Result<(), LogError> {
        let draft = self.draft.as_mut().ok_or_else(none_begun)?;
        for entry in changed {
            let added = self.writer.add_to_checkpoint(draft, [entry?]);
            added.map_err(LogError::new)?;
        }
        Ok(())
    }

    fn finish_checkpoint(&mut self, seq: Seq) -> Result<(), LogError> {
        let draft = self.draft.take().ok_or_else(none_begun)?;
        let finished = self.writer.finish_checkpoint(draft, seq);
        finished.map_err(LogError::new)?;
        self.compacting
            .begin(&self.writer.log(), seq, self.keep.records)?;
        // What expired is no longer seen anywhere: what is in use is renewed.
        self.expiring = Some(Vec::new());
        if let Ok(bytes) = self.writer.log().bytes_on_disk() {
            self.metrics.size(bytes);
        }
        Ok(())
    }

    fn tidy(&mut self) -> Result<bool, LogError> {
        if let Some(from) = self.expiring.take() {
            let looked = self.writer.endpoints_expire(clock::now(), &from, LOOKED_AT);
            self.expiring = looked.map_err(LogError::new)?;
            return Ok(true);
        }
        let more = self.compacting.step(&mut self.writer)?;
        if matches!(self.compacting, Compacting::Idle) && !more {
            self.writer.refresh().map_err(LogError::new)?;
        }
        Ok(more)
    }

    fn write_endpoints(
        &mut self,
        changes: &BTreeMap<ObjectKey, SliceChange>,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let mut entries = Vec::with_capacity(changes.len());
        for (key, change) in changes {
            let key = serde_json::to_vec(key).map_err(LogError::new)?;
            let value = change.slice.as_ref().map(serde_json::to_vec).transpose();
            entries.push((key, value.map_err(LogError::new)?));
        }
        let until = Timestamp(now.0.saturating_add(self.keep.endpoints_millis));
        self.writer
            .endpoints_put(entries, until)
            .map_err(LogError::new)
    }
}

/// The reader's side.
#[derive(Clone, Debug)]
pub(super) struct StoredArchive(pub(super) EventLog);

impl Archive for StoredArchive {
    fn oldest(&self) -> Seq {
        self.0.oldest(None)
    }

    fn fold_before(&self, seq: Seq) -> Result<Fold, ArchiveError> {
        loop {
            let checkpoints = self.0.checkpoints().map_err(unreadable)?;
            let newest = checkpoints.iter().rev().find(|found| found.seq <= seq);
            let Some(newest) = newest else {
                let oldest = self.0.oldest(Some(Class::Configuration.into()));
                return if oldest <= Seq(1) {
                    Ok(Fold::default())
                } else {
                    Err(ArchiveError::Forgotten { oldest })
                };
            };
            let mut entries = Vec::new();
            let collect = |key, value| {
                entries.push((key, value));
                Ok::<(), ReadError>(())
            };
            match self.0.read_checkpoint(newest.seq, collect) {
                Ok(_) => return checkpoint::restore(entries).map_err(not_restored),
                // It was spared meanwhile: there is one before it, or it is forgotten.
                Err(ReadError::NoCheckpoint { .. }) => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
    }

    fn records(&self, from: Seq, to: Seq, want: Want) -> Result<Records<'_>, ArchiveError> {
        let records = self
            .0
            .read_to(from, to, None)
            .map_err(|error| match error {
                ReadError::Compacted { oldest } => ArchiveError::Forgotten { oldest },
                error @ (ReadError::NoCheckpoint { .. }
                | ReadError::Damaged(_)
                | ReadError::Store(_)
                | ReadError::Reopening) => unreadable(error),
            })?;
        let records = records.filter(move |entry| match (want, entry) {
            (Want::All, _) | (_, Err(_)) => true,
            (Want::Folded, Ok(entry)) => entry.class.known() != Some(Class::Presence),
        });
        Ok(Box::new(records.map(|entry| {
            decode(&entry.map_err(unreadable)?).map_err(|error| match error {
                DecodeError::NewerSchema { .. } => newer(&error),
                error @ DecodeError::Malformed { .. } => unreadable(error),
            })
        })))
    }
}

/// What the log holds, folded: its newest checkpoint, the records after it, and the endpoints
/// that still count. What those records changed is missing in the checkpoint, and is to be in
/// the next.
pub(super) fn restore(log: &EventLog, now: Timestamp) -> Result<Restored, ArchiveError> {
    let archive = StoredArchive(log.clone());
    let mut restored = Restored::whole(archive.fold_before(Seq(u64::MAX))?);
    let last = log.last().unwrap_or_default();
    let next = restored.fold.state().seq().next();
    if next <= last {
        for record in archive.records(next, last, Want::All)? {
            restored.apply(&record?);
        }
    }
    let fold = &mut restored.fold;
    for (key, value) in log.endpoints_read(now).map_err(unreadable)? {
        let key: Result<ObjectKey, _> = serde_json::from_slice(&key);
        // Written by another release, and found again by listing.
        if let (Ok(key), Ok(slice)) = (key, HeldSlice::from_json(&value)) {
            let slice = Some(slice);
            fold.apply_endpoints(SliceChange { key, slice });
        }
    }
    // Those of refused slices are not found again by listing, and count as long as they are.
    for change in recorded_slices(fold) {
        fold.apply_endpoints(change);
    }
    Ok(restored)
}

fn recorded_slices(fold: &Fold) -> Vec<SliceChange> {
    let good = fold.state().objects().filter_map(|(key, held)| {
        let good = held.good.as_ref()?;
        let Spec::EndpointSlice(slice) = &good.spec else {
            return None;
        };
        Some(SliceChange {
            key: key.clone(),
            slice: Some(HeldSlice {
                uid: good.meta.uid.clone(),
                spec: slice.clone(),
            }),
        })
    });
    good.collect()
}

/// Every record that is there, as one JSON object a line. Of one that this release cannot read
/// the line says so (`seq` and `unreadable`): who exports wants the others all the more.
pub(super) fn export(
    log: &EventLog,
    mut line: impl FnMut(&str) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    log.export(|entry| {
        line(&match decode(&entry) {
            Ok(record) => serde_json::to_string(&record)?,
            Err(error) => {
                let unreadable = error.to_string();
                json!({ "seq": entry.seq, "unreadable": unreadable }).to_string()
            }
        })
    })
}

fn entry(record: &Record) -> Result<Entry, serde_json::Error> {
    Ok(Entry {
        seq: record.seq,
        class: record.event.class().into(),
        schema: codec::SCHEMA,
        bytes: codec::encode(record)?,
    })
}

fn decode(entry: &Entry) -> Result<Record, DecodeError> {
    codec::decode(entry.seq, entry.schema, &entry.bytes)
}

fn none_begun() -> LogError {
    LogError::new("no checkpoint was begun, or what was begun is lost")
}

/// Records that are in memory as bytes at once.
const AT_ONCE: usize = 1024;
/// Endpoints looked at in a step: some milliseconds.
const LOOKED_AT: usize = 512;

fn newer(error: &impl ToString) -> ArchiveError {
    ArchiveError::Newer(error.to_string().into())
}

fn not_restored(error: RestoreError) -> ArchiveError {
    match error {
        RestoreError::NewerSchema { .. } => newer(&error),
        error @ (RestoreError::Headless
        | RestoreError::UnknownEntry(_)
        | RestoreError::Malformed(_)) => unreadable(error),
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ArchiveError {
    ArchiveError::Unreadable(error.into())
}

#[cfg(test)]
mod tests;
