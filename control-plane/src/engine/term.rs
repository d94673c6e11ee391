//! The leader's term: begun before its first record, and anew if a proxy holds more.
//!
//! Apart from the turns, because epochs must rise even if log and keys were put back from an
//! older copy: proxies tell what they hold, and the leader claims above it.

use crate::engine::{Engine, Log, LogError, Outlets};
use crate::event::{Epoch, Event};
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

    /// Whether some proxy would refuse what is published in this term.
    pub(super) fn is_outbid(&self) -> bool {
        self.highest_held > self.fold.snapshot().version()
    }
}

/// More epochs than any installation sees.
const MOST_ABOVE: u64 = 1_000_000;
