//! Endpoints, applied at once and written behind: what a start without sources begins with.
//!
//! Apart from the turns, because nothing waits for it and no record tells of it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::engine::{Engine, Log, Outlets};
use crate::model::key::ObjectKey;
use crate::model::time::Timestamp;
use crate::state::endpoints::{HeldSlice, SliceChange};

/// How far the stored endpoints were renewed. Each counts for a day from when it was written,
/// so that a log found after a long time names no strangers' addresses; what is in use is
/// written again long before.
#[derive(Clone, Debug)]
pub(super) struct Renewal {
    /// When the next round begins.
    due: Timestamp,
    /// The last slice of the round that is under way.
    last: Option<ObjectKey>,
}

impl Renewal {
    /// What was stored before this time is renewed after a while.
    pub(super) fn from(now: Timestamp) -> Self {
        Self {
            due: Timestamp(now.0.saturating_add(RENEW_AFTER)),
            last: None,
        }
    }
}

impl<L: Log, O: Outlets> Engine<L, O> {
    pub(super) fn apply_endpoints(&mut self, change: SliceChange) {
        self.behind.insert(change.key.clone(), change.clone());
        let changed = self.fold.apply_endpoints(change);
        self.take_in(changed);
    }

    /// Stores the endpoints that changed, for a start without sources.
    pub fn write_behind(&mut self) {
        if self.behind.is_empty() {
            return;
        }
        match self.log.write_endpoints(&self.behind, self.outlets.now()) {
            Ok(()) => self.behind.clear(),
            Err(error) => tracing::warn!(%error, "endpoints were not written behind"),
        }
    }

    /// Stores some of them; returns whether there are more.
    pub(super) fn write_some_behind(&mut self) -> bool {
        let rest = match self.behind.keys().nth(WRITTEN_AT_ONCE).cloned() {
            Some(next) => self.behind.split_off(&next),
            None => BTreeMap::new(),
        };
        self.write_behind();
        let more = self.behind.is_empty() && !rest.is_empty();
        self.behind.extend(rest);
        more
    }

    /// Writes some endpoints again before they no longer count.
    pub(super) fn renew_endpoints(&mut self) {
        let now = self.outlets.now();
        let from = match self.renewal.last.take() {
            Some(last) => Bound::Excluded(last),
            None if now < self.renewal.due => return,
            None => Bound::Unbounded,
        };
        let slices = self.fold.state().slices();
        let mut rest = slices.range((from, Bound::Unbounded));
        for (key, slice) in rest.by_ref().take(RENEWED_AT_ONCE) {
            self.renewal.last = Some(key.clone());
            let slice = Some(HeldSlice::clone(slice));
            let renewed = || SliceChange {
                key: key.clone(),
                slice,
            };
            self.behind.entry(key.clone()).or_insert_with(renewed);
        }
        if rest.next().is_none() {
            self.renewal = Renewal::from(now);
        }
    }
}

/// An hour, in milliseconds.
const RENEW_AFTER: i64 = 3_600_000;
/// Some milliseconds of a housekeeping.
const RENEWED_AT_ONCE: usize = 256;
const WRITTEN_AT_ONCE: usize = 256;
