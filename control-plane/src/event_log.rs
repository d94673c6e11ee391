//! The log: every event, durable before it is applied, and checkpoints to begin from.
//!
//! It stores bytes and knows nothing of their meaning, so that what an event is can change
//! without it. Beneath is sled 0.34.7, which keeps what it acknowledged through a kill but
//! not through a power cut; `store.rs` alone names it, and [`pen`], [`room`], [`folder`] and
//! [`mark`] make up for what it lacks.
//!
//! One [`Writer`] appends, any number of [`EventLog`]s read. All calls block.

mod checkpoint;
mod chunks;
mod class;
mod compact;
mod endpoints;
mod error;
mod folder;
mod frame;
mod hold;
mod keyed;
mod mark;
mod open;
mod pen;
mod reader;
mod records;
mod retained;
mod room;
mod store;
mod tail;
#[cfg(test)]
mod tests;
mod thin;
mod writer;

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::event::Seq;
use crate::event_log::{
    folder::Folder,
    frame::FrameError,
    retained::{LoadError, Retained},
    store::Store,
};

pub use checkpoint::{Change, Checkpoint, Draft, Keyed, MAX_KEY, MAX_VALUE};
pub use class::ClassCode;
pub use compact::{Compaction, Removed, Retention, Verified};
pub use error::{AppendError, CheckpointError, Damage, OpenError, Place, ReadError, WriteError};
pub use folder::set_aside;
pub use open::OpenReport;
pub use reader::Records;
pub use store::StoreError;
pub use tail::Cut;
pub use thin::spare_checkpoints;
pub use writer::{MAX_BATCH, MAX_RECORD, Writer};

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: Seq,
    pub class: ClassCode,
    /// The schema that the bytes are in.
    pub schema: u16,
    pub bytes: Vec<u8>,
}

/// What of a log can be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How much of the log is kept in memory, by its size on disk; in memory it takes more.
    pub cache_bytes: u64,
    /// The unit in which space is used and freed. Fixed once a log is made. Limits what may
    /// be written between two barriers, so that short ones are slow; long ones take memory.
    pub segment_bytes: usize,
    /// How long to wait for another process that holds the log: one that is ending, as a rule.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 20,
            segment_bytes: 4 << 20,
            patience: Duration::from_secs(10),
        }
    }
}

/// Opens the log in a folder, or makes one there.
pub fn open(path: &Path, options: Options) -> Result<(Writer, OpenReport), OpenError> {
    let folder = Folder::hold(path, options.patience)?;
    let opened = open::open(&folder, &options, None)?;
    let last = opened.report.last.unwrap_or(Seq(0));
    let log = EventLog(Arc::new(Shared {
        options,
        store: ArcSwapOption::new(Some(opened.store)),
        last: AtomicU64::new(last.0),
        retained: ArcSwap::from_pointee(opened.retained),
        folder,
    }));
    Ok((Writer::new(log, opened.pen, opened.mark), opened.report))
}

/// A log, for reading. Cheap to clone.
#[derive(Clone, Debug)]
pub struct EventLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    /// Empty while the log is reopened.
    store: ArcSwapOption<Store>,
    /// The last place that is durable; readers see nothing beyond. 0: nothing is there.
    last: AtomicU64,
    retained: ArcSwap<Retained>,
    /// Given back when the store is closed, not before: fields are dropped in this order.
    folder: Folder,
}

impl EventLog {
    /// The first record that is still there.
    pub fn first(&self) -> Option<Seq> {
        let begin = self.retained().begin;
        self.last().filter(|last| begin <= *last).map(|_| begin)
    }

    /// The last record, or the place of the newest checkpoint if that is all there is.
    pub fn last(&self) -> Option<Seq> {
        let last = Seq(self.0.last.load(Ordering::Acquire));
        (last > Seq(0)).then_some(last)
    }

    /// From where on every record of a class is there, or every record of all.
    pub fn oldest(&self, class: Option<ClassCode>) -> Seq {
        self.retained().oldest(class)
    }

    /// Records from a place on, all or those of a class, up to what is the last one now.
    /// Fails if some of those asked for are no longer there.
    pub fn read(&self, from: Seq, class: Option<ClassCode>) -> Result<Records, ReadError> {
        self.read_to(from, Seq(u64::MAX), class)
    }

    /// The same, up to a place that is included.
    pub fn read_to(
        &self,
        from: Seq,
        to: Seq,
        class: Option<ClassCode>,
    ) -> Result<Records, ReadError> {
        let last = self.last().unwrap_or(Seq(0)).min(to);
        Records::new(self.clone(), from, last, class)
    }

    /// Hands over everything that is there, in order. Gaps are what was compacted.
    pub fn export<E: From<ReadError>>(
        &self,
        mut each: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let last = self.last().unwrap_or(Seq(0));
        for entry in Records::all(self.clone(), last) {
            each(entry?)?;
        }
        Ok(())
    }

    /// All checkpoints, oldest first.
    pub fn checkpoints(&self) -> Result<Vec<Checkpoint>, ReadError> {
        let found = checkpoint::all(&*self.store()?);
        found.map_err(|error| self.load_error("manifests", error))
    }

    /// Hands over all keys and values of a checkpoint, by key. Only if this returns the
    /// checkpoint were they all of it, and whole.
    pub fn read_checkpoint<E: From<ReadError>>(
        &self,
        seq: Seq,
        each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), E>,
    ) -> Result<Checkpoint, E> {
        checkpoint::read(self, seq, each)
    }

    /// How much of the disk the log takes.
    pub fn bytes_on_disk(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.0.folder.data().metadata()?.blocks() * 512)
    }

    fn store(&self) -> Result<Arc<Store>, ReadError> {
        self.0.store.load_full().ok_or(ReadError::Reopening)
    }

    fn retained(&self) -> Arc<Retained> {
        self.0.retained.load_full()
    }

    fn set_retained(&self, retained: Arc<Retained>) {
        self.0.retained.store(retained);
    }

    fn set_last(&self, last: Seq) {
        self.0.last.store(last.0, Ordering::Release);
    }

    /// Nothing may be missing from a place up to before another but what was compacted.
    fn check_hole(&self, store: &Store, from: Seq, to: Seq) -> Result<(), ReadError> {
        let from = from.max(self.retained().begin);
        let missing = retained::first_missing(store, from, to);
        match missing.map_err(|error| self.load_error("holes", error))? {
            None => Ok(()),
            Some(missing) => Err(self
                .damage("records", Place::At(missing), &"it is missing")
                .into()),
        }
    }

    /// A record that cannot be read is damage, unless it was noted that it is gone: then
    /// something ended the process while it was being taken away.
    fn check_unreadable(
        &self,
        store: &Store,
        seq: Seq,
        error: &FrameError,
    ) -> Result<(), ReadError> {
        let hole = retained::hole_at(store, seq);
        match hole.map_err(|error| self.load_error("holes", error))? {
            Some(_) => Ok(()),
            None => Err(self.damage("records", Place::At(seq), error).into()),
        }
    }

    fn damage(&self, tree: &'static str, place: Place, what: &impl ToString) -> Damage {
        Damage {
            folder: self.0.folder.path().to_owned(),
            tree,
            place,
            what: what.to_string(),
        }
    }

    fn read_error(&self, error: StoreError) -> ReadError {
        match error {
            StoreError::Corrupt { doing, at } => {
                let what = format!("cannot {doing}");
                self.damage("of sled's pages", Place::File(at), &what)
                    .into()
            }
            StoreError::Io { .. } | StoreError::InUse | StoreError::Refused { .. } => {
                ReadError::Store(error)
            }
        }
    }

    fn load_error(&self, tree: &'static str, error: LoadError) -> ReadError {
        match error {
            LoadError::Store(error) => self.read_error(error),
            LoadError::Frame(error) => {
                let place = Place::File("at a number of its own".to_owned());
                self.damage(tree, place, &error).into()
            }
        }
    }
}
