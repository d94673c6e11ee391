//! What the past is read from.
//!
//! A seam, because the log stores bytes and checkpoints store entries, while here whole
//! records and folds are needed; tests give it records in memory.

use std::fmt::Debug;

use crate::event::{Record, Seq};
use crate::project::Fold;

/// The records and the folds that are stored. Its methods may block.
pub trait Archive: Debug + Send + Sync {
    /// From where on records of every class are there.
    fn oldest(&self) -> Seq;

    /// The newest stored fold that is not after this record; an empty one if there is none
    /// and the log still has its first record.
    fn fold_before(&self, seq: Seq) -> Result<Fold, ArchiveError>;

    /// Records from the first to the last of these places, both included, in order.
    fn records(&self, from: Seq, to: Seq, want: Want) -> Result<Records<'_>, ArchiveError>;
}

/// Records in order.
pub type Records<'a> = Box<dyn Iterator<Item = Result<Record, ArchiveError>> + 'a>;

/// Which records are asked for: classes are retained for different times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Those that decide what is served.
    Folded,
    /// All of them.
    All,
}

/// The archive does not have it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("nothing is retained before {oldest}")]
    Forgotten { oldest: Seq },
    #[error("{0}")]
    Newer(Box<str>),
    #[error(transparent)]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
}
