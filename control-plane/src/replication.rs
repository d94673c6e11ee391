//! What a replica that does not lead is told: where the leader's log goes, step by step.
//!
//! Apart from who tells it and who takes it in. A place names the record before, so that two
//! logs that have the same place are the same up to there: a term has one leader, and a leader
//! gives each of its records a number of its own.

use std::fmt;

use tokio::sync::oneshot;

use crate::event::{Epoch, Record, Seq};
use crate::model::time::Timestamp;
use crate::state::Head;
use crate::state::endpoints::SliceChange;

/// Where a log ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Id of the installation; empty for an empty log.
    pub lineage: Box<str>,
    pub seq: Seq,
    /// Of the last record.
    pub epoch: Epoch,
    pub time: Timestamp,
}

impl Place {
    /// Where this is the head.
    pub fn of(head: &Head) -> Self {
        Self {
            lineage: head.lineage.clone(),
            seq: head.seq,
            epoch: head.epoch,
            time: head.time,
        }
    }

    /// Whether the history up to here is more than up to there: a later term's, or more of one.
    pub fn is_ahead_of(&self, other: &Self) -> bool {
        (self.epoch, self.seq) > (other.epoch, other.seq)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// A step, in the order in which they come.
#[derive(Debug)]
pub enum Step {
    /// The first of a stream: asks where this log ends, which can be written then.
    Begin(oneshot::Sender<Place>),
    /// Asks where it ends after all steps before; no answer if one of them was not taken.
    Reached(oneshot::Sender<Place>),
    /// This log is not the beginning of the leader's. It begins anew with this checkpoint, or
    /// with the first record, if there are no entries.
    Restart(Vec<(Vec<u8>, Vec<u8>)>),
    /// Records that follow.
    Records(Vec<Record>),
    /// Endpoints that changed; or all there are, and no others.
    Endpoints {
        all: bool,
        changes: Vec<SliceChange>,
    },
}
