//! The leader's term: begun before its first record, and anew if a proxy holds more.
//!
//! Apart from the turns, because epochs must rise even if log and keys were put back from an
//! older copy: proxies tell what they hold, and the leader claims above it.

use crate::engine::{Engine, Log, LogError, Outlets};
use crate::event::{Epoch, Event};
use crate::model::time::Timestamp;
use crate::presence::Report;
use crate::project::REVISION;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Claims an epoch above all that is known, and records that it began.
    pub(super) fn begin_term(&mut self) -> Result<(), LogError> {
        let above = self.highest_held.epoch.0.saturating_add(1);
        let epoch = Epoch(self.settings.epoch.0.max(above));
        self.log.claim(epoch)?;
        self.settings.epoch = epoch;
        let began = self.epoch_began();
        self.record(vec![began])
    }

    pub(super) fn epoch_began(&self) -> Event {
        Event::EpochBegan {
            lineage: self.settings.lineage.as_ref().into(),
            projection_revision: REVISION,
            binary_version: self.settings.binary_version.clone(),
        }
    }

    /// Whether this term began.
    pub(super) fn has_begun(&self) -> bool {
        self.fold.state().head().epoch == self.settings.epoch
    }

    /// Takes note of what a proxy holds, if it is more than this leader ever said.
    ///
    /// Within a bound, so that a proxy that lies cannot use all epochs up.
    pub(super) fn note_held(&mut self, report: &Report) {
        let Report::Connected(hello) = report else {
            return;
        };
        let Some(held) = hello.held else { return };
        let ours = self.fold.snapshot().version();
        if held <= ours.max(self.highest_held) {
            return;
        }
        let proxy = &*hello.proxy;
        if held.epoch.0 > self.settings.epoch.0.saturating_add(MOST_ABOVE) {
            tracing::error!(proxy, %held, %ours, "a proxy holds a version that is too high to be true");
            return;
        }
        tracing::warn!(
            proxy, %held, %ours,
            "a proxy holds a higher version than ours: the log was lost or put back; a higher epoch begins"
        );
        self.highest_held = held;
    }

    /// Begins a term above what proxies hold, if some would refuse what is published in this one.
    ///
    /// So often at most that a proxy that lies does not keep everyone from being led.
    pub(super) fn outbid(&mut self) -> Result<(), LogError> {
        if self.highest_held <= self.fold.snapshot().version() {
            return Ok(());
        }
        if self.outbids.admit(self.outlets.now()) {
            return self.begin_term();
        }
        let held = std::mem::take(&mut self.highest_held);
        tracing::error!(
            %held,
            "proxies hold higher versions than ours more often than any accident explains: they \
             are not believed for an hour"
        );
        Ok(())
    }
}

/// How often a term began because of what a proxy held.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outbids {
    since: Timestamp,
    times: u32,
}

impl Outbids {
    fn admit(&mut self, now: Timestamp) -> bool {
        // A clock that is put back begins anew, too.
        if !(self.since.0..self.since.0.saturating_add(HOUR)).contains(&now.0) {
            *self = Self {
                since: now,
                times: 0,
            };
        }
        self.times = self.times.saturating_add(1);
        self.times <= OUTBIDS
    }
}

/// Terms that proxies may bring about in an hour.
const OUTBIDS: u32 = 8;
const HOUR: i64 = 3_600_000;

/// More epochs than any installation sees.
const MOST_ABOVE: u64 = 1_000_000;
