//! What can go wrong with the log, in words that say what to do.
//!
//! Apart, because damage is found in most files of this module and must read alike.

use std::{fmt, io, path::PathBuf};

use crate::event::Seq;
use crate::event_log::store::StoreError;

/// The log's folder holds something that the log never wrote there, or lacks what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the log in {} is damaged: {what} (tree {tree}, {place}). Proxies serve on without it, and \
     what it holds of the configuration is found again in the Kubernetes API or the folder of \
     YAML: stop the control plane, move this folder away (keep it if its history matters) and \
     start again",
    folder.display()
)]
pub struct Damage {
    pub folder: PathBuf,
    pub tree: &'static str,
    pub place: Place,
    pub what: String,
}

/// Where in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At a record or a checkpoint.
    At(Seq),
    /// At a key.
    Key(Vec<u8>),
    /// Somewhere in the file.
    File(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(seq) => write!(f, "at {seq}"),
            Self::Key(key) => write!(f, "key \"{}\"", key.escape_ascii()),
            Self::File(place) => f.write_str(place),
        }
    }
}

/// The log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "the log in {} is in use by another process: only one control plane can have it; stop \
         the other one (`fuser {}/lock` says which it is), or give this one another dataFolder",
        folder.display(),
        folder.display()
    )]
    InUse { folder: PathBuf },
    #[error("cannot {doing} {}: {source}", path.display())]
    Folder {
        doing: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error("the log in {}: {source}", folder.display())]
    Store { folder: PathBuf, source: StoreError },
    #[error("the log in {} is still being read", folder.display())]
    Busy { folder: PathBuf },
}

/// The log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// What was asked for is no longer kept in full.
    #[error("the log no longer holds everything from there on; it does from {oldest} on")]
    Compacted { oldest: Seq },
    #[error("there is no checkpoint at {seq}")]
    NoCheckpoint { seq: Seq },
    #[error(transparent)]
    Damaged(#[from] Damage),
    #[error(transparent)]
    Store(StoreError),
    #[error("the log is being reopened")]
    Reopening,
}

/// The log cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Nothing was written. It can be tried again once there is room.
    #[error("there is no room on the disk for the log: {0}")]
    NoRoom(io::Error),
    /// What was being written may be there in part; nothing can be written before
    /// `Writer::reopen`, which takes it out again.
    #[error("the log must be reopened: {0}")]
    Failed(StoreError),
    /// An earlier write failed.
    #[error("the log must be reopened: an earlier write failed")]
    Unusable,
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// A batch cannot be appended. Nothing of it counts as written.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the next record is {expected}, not {found}")]
    Gap { expected: Seq, found: Seq },
    #[error("record {seq} has {bytes} bytes; the longest allowed has {limit}")]
    RecordTooLong {
        seq: Seq,
        bytes: usize,
        limit: usize,
    },
    #[error("a batch of {records} records; the most allowed are {limit}")]
    BatchTooLong { records: usize, limit: usize },
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A checkpoint cannot be written, or the log not compacted.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("a checkpoint at {seq} must come after the one at {newest}")]
    NotNewer { seq: Seq, newest: Seq },
    #[error("a checkpoint at {seq} is ahead of the log, which ends at {last}")]
    Ahead { seq: Seq, last: Seq },
    #[error("a key of {bytes} bytes; the longest allowed has {limit}")]
    KeyTooLong { bytes: usize, limit: usize },
    #[error("a value of {bytes} bytes; the longest allowed has {limit}")]
    ValueTooLong { bytes: usize, limit: usize },
    #[error("the checkpoint at {seq} was begun before another, or before the log was reopened")]
    Abandoned { seq: Seq },
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
}
