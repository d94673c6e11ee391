//! The only file that names sled: six trees of small values in one folder.
//!
//! Apart, so that another store is a change of one file. Nothing above it sees a type of
//! sled's; nothing in it knows what the bytes mean.

use std::{
    fs::{File, TryLockError},
    io,
    ops::Bound,
    panic,
    path::Path,
};

use sled::Config;

use crate::event_log::hold::{Hold, PATIENCE};

/// The trees. All of them lie in one file and share its order of writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    /// The log.
    Records,
    /// What compaction took out of the middle of the log.
    Holes,
    /// Keyed values of checkpoints, shared between them.
    Entries,
    /// What closes a checkpoint.
    Manifests,
    /// Where the log begins, and what is under way.
    Marks,
    /// Endpoints, written behind.
    Endpoints,
}

impl Tree {
    /// The name on disk, which is also the name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Holes => "holes",
            Self::Entries => "entries",
            Self::Manifests => "manifests",
            Self::Marks => "marks",
            Self::Endpoints => "endpoints",
        }
    }
}

/// The store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {doing}: {source}")]
    Io {
        doing: &'static str,
        source: io::Error,
    },
    #[error("cannot {doing}: the file holds what was never written to it (at {at})")]
    Corrupt { doing: &'static str, at: String },
    #[error("cannot open the log's store: something else has it open")]
    InUse,
    #[error("cannot {doing}: {reason}")]
    Refused { doing: &'static str, reason: String },
}

/// An open store. Writes lie in memory until [`Store::barrier`].
pub(super) struct Store {
    database: sled::Db,
    trees: Trees,
    /// Our own handle of sled's file: its `flush` asks the kernel to write, not the disk to keep.
    data: File,
}

impl Store {
    /// Opens the store in this folder, or makes it there.
    ///
    /// sled asserts much of what it reads; a panic of its is damage like any other.
    pub(super) fn open(
        folder: &Path,
        cache_bytes: u64,
        segment_bytes: usize,
    ) -> Result<Self, StoreError> {
        const DOING: &str = "open the log's store";
        Self::wait_until_closed(folder)?;
        let config = Config::new()
            .path(folder)
            .cache_capacity(cache_bytes)
            .segment_size(segment_bytes)
            .use_compression(false)
            // Barriers are ours; a thread that writes on its own would blur them.
            .flush_every_ms(None)
            .mode(sled::Mode::LowSpace);
        let opened = panic::catch_unwind(panic::AssertUnwindSafe(|| {
            let database = config.open()?;
            let open = |tree: Tree| database.open_tree(tree.name());
            let trees = Trees {
                records: open(Tree::Records)?,
                holes: open(Tree::Holes)?,
                entries: open(Tree::Entries)?,
                manifests: open(Tree::Manifests)?,
                marks: open(Tree::Marks)?,
                endpoints: open(Tree::Endpoints)?,
            };
            Ok((database, trees))
        }));
        let (database, trees) = match opened {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return Err(convert(DOING, error)),
            Err(_) => {
                return Err(StoreError::Corrupt {
                    doing: DOING,
                    at: "see the panic before this message".to_owned(),
                });
            }
        };
        let data = File::open(folder.join(DATA_FILE)).map_err(io_error(DOING))?;
        Ok(Self {
            database,
            trees,
            data,
        })
    }

    /// Returns once a store that was open in this folder is closed altogether.
    ///
    /// sled's threads write what a flush waits for, and shorten the file for nobody, and hold it
    /// until they are done: on a busy machine well after the store was dropped. sled does not
    /// wait for them; where it is opened again meanwhile, it fails.
    pub(super) fn wait_until_closed(folder: &Path) -> Result<(), StoreError> {
        const DOING: &str = "wait for the log's store to be closed";
        let file = match File::open(folder.join(DATA_FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            file => file.map_err(io_error(DOING))?,
        };
        match Hold::take(file, PATIENCE, || {}) {
            Ok(hold) => drop(hold),
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse),
            Err(TryLockError::Error(source)) => return Err(io_error(DOING)(source)),
        }
        Ok(())
    }

    /// The value under a key.
    pub(super) fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.tree(tree).get(key);
        Ok(value.map_err(reading)?.map(|value| value.to_vec()))
    }

    /// Puts a value under a key.
    pub(super) fn put(&self, tree: Tree, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let old = self.tree(tree).insert(key, value);
        old.map(drop).map_err(writing)
    }

    /// Takes away a key and its value.
    pub(super) fn remove(&self, tree: Tree, key: &[u8]) -> Result<(), StoreError> {
        let old = self.tree(tree).remove(key);
        old.map(drop).map_err(writing)
    }

    /// Keys and values between two bounds, by key.
    pub(super) fn range(
        &self,
        tree: Tree,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Result<Pair, StoreError>> + use<> {
        let pairs = self.tree(tree).range::<&[u8], _>((from, to));
        pairs.map(|pair| {
            let (key, value) = pair.map_err(reading)?;
            Ok((key.to_vec(), value.to_vec()))
        })
    }

    /// Hands everything put so far to the kernel: a killed process loses none of it.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        self.database.flush().map(drop).map_err(writing)
    }

    /// Returns when the disk has everything put so far: a power cut loses none of it.
    pub(super) fn barrier(&self) -> Result<(), StoreError> {
        self.flush()?;
        self.data.sync_all().map_err(io_error("fsync the log"))
    }

    /// How much was ever written, in bytes: a position in sled's own log, not in the file.
    pub(super) fn written(&self) -> u64 {
        let position = self.database.context.pagecache.log.stable_offset();
        u64::try_from(position).unwrap_or(0)
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Records => &self.trees.records,
            Tree::Holes => &self.trees.holes,
            Tree::Entries => &self.trees.entries,
            Tree::Manifests => &self.trees.manifests,
            Tree::Marks => &self.trees.marks,
            Tree::Endpoints => &self.trees.endpoints,
        }
    }
}

struct Trees {
    records: sled::Tree,
    holes: sled::Tree,
    entries: sled::Tree,
    manifests: sled::Tree,
    marks: sled::Tree,
    endpoints: sled::Tree,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// Where sled keeps its data and its parameters, in its folder.
pub(super) const DATA_FILE: &str = "db";
pub(super) const CONFIG_FILE: &str = "conf";
/// Where sled keeps values that are too long for its segments. Ours never are.
pub(super) const BLOB_FOLDER: &str = "blobs";
/// What the names of sled's snapshots of its page table begin with.
pub(super) const SNAPSHOT_PREFIX: &str = "snap.";

fn reading(error: sled::Error) -> StoreError {
    convert("read the log", error)
}

fn writing(error: sled::Error) -> StoreError {
    convert("write to the log", error)
}

fn io_error(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |source| StoreError::Io { doing, source }
}

fn convert(doing: &'static str, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(source) => StoreError::Io { doing, source },
        sled::Error::Corruption { at, .. } => StoreError::Corrupt {
            doing,
            at: at.map_or_else(|| "an unknown place".to_owned(), |at| format!("{at:?}")),
        },
        sled::Error::Unsupported(reason) | sled::Error::ReportableBug(reason) => {
            StoreError::Refused { doing, reason }
        }
        sled::Error::CollectionNotFound(name) => StoreError::Refused {
            doing,
            reason: format!("there is no tree {}", String::from_utf8_lossy(&name)),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    fn open(folder: &Path) -> Store {
        Store::open(folder, 1 << 20, 512 << 10).unwrap()
    }

    /// What a thread of sled's is to whoever opens the store anew: something that has the lock on
    /// its file and will let go of it. It was met on a busy machine, for some milliseconds.
    #[test]
    fn a_store_is_opened_once_the_one_before_has_let_go_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.put(Tree::Records, b"key", b"value").unwrap();
        drop(store);
        let path = folder.path().join(DATA_FILE);
        Store::wait_until_closed(folder.path()).unwrap();
        let thread = File::open(&path).unwrap();
        thread.lock().unwrap();
        let store = thread::scope(|scope| {
            let opening = scope.spawn(|| open(folder.path()));
            // It is there, and must wait.
            while handles(&path) < 2 && !opening.is_finished() {
                thread::yield_now();
            }
            drop(thread);
            opening.join().unwrap()
        });
        let found = store.get(Tree::Records, b"key").unwrap();
        assert_eq!(found.as_deref(), Some(b"value".as_slice()));
    }

    /// How often this process has a file open.
    fn handles(path: &Path) -> usize {
        let all = fs::read_dir("/proc/self/fd").unwrap();
        let is_it = |found: &io::Result<fs::DirEntry>| {
            let handle = found.as_ref().unwrap().path();
            // Others come and go meanwhile.
            fs::read_link(handle).is_ok_and(|opened| opened == path)
        };
        all.filter(is_it).count()
    }
}
