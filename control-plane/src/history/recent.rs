//! The few snapshots of the past that were asked for last.
//!
//! Paging through one asks for it again and again, and folding it anew each time would
//! cost as much as the start of a control plane.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::event::Seq;
use crate::history::Past;

/// A handle: clones share what they remember.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent {
    /// The one that was remembered last comes first.
    /// With how often the log had begun anew when it was read.
    snapshots: Arc<ArcSwap<Vec<Remembered>>>,
}

type Remembered = (u64, Arc<Past>);

impl Recent {
    /// The snapshot that was served at this record.
    pub(super) fn find(&self, restarts: u64, seq: Seq) -> Option<Arc<Past>> {
        let holds = |(of, past): &&Remembered| {
            *of == restarts && past.snapshot.version().seq <= seq && seq <= past.until
        };
        let snapshots = self.snapshots.load();
        snapshots.iter().find(holds).map(|(_, past)| past.clone())
    }

    /// Keeps a snapshot, and forgets the one that was remembered longest ago.
    pub(super) fn remember(&self, restarts: u64, past: &Arc<Past>) {
        self.snapshots.rcu(|snapshots| {
            let kept = snapshots.iter().take(KEPT - 1).cloned();
            std::iter::once((restarts, past.clone()))
                .chain(kept)
                .collect::<Vec<_>>()
        });
    }
}

/// Enough for a few people to compare two versions each.
const KEPT: usize = 8;
