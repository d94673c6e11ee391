//! A log that cannot be written, and can again.
//!
//! Apart from the turns, because it is the one case in which what was seen is not taken in.

use crate::engine::{Engine, Log, LogError, Outlets};
use crate::event::Event;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Stands still at the last durable version. Who was deposed stops altogether.
    pub(super) fn freeze(&mut self, error: &LogError) {
        if matches!(error, LogError::Deposed) {
            tracing::warn!(%error, "what was seen is left to the next leader");
            return;
        }
        tracing::error!(%error, "the configuration stands still until the log can be written");
        self.frozen = Some(self.outlets.now());
        self.outlets.frozen(true);
        self.list_anew();
    }

    /// Tries to write again. What was appended and not acknowledged may be durable all the
    /// same: such records are taken in first. Then the sources list anew, because what they
    /// saw meanwhile was not kept.
    pub(super) fn thaw(&mut self) {
        let Some(since) = self.frozen else { return };
        let resumed = self.log.resume(self.fold.state().seq());
        let result = resumed.and_then(|records| {
            self.take_in_records(&records);
            if !self.has_begun() {
                self.begin_term()?;
            }
            let mut events = vec![Event::LogInterrupted { since }];
            events.extend(self.recovered_again());
            self.record(events)
        });
        match result {
            Ok(()) => {
                tracing::info!(%since, "the event log can be written again");
                self.frozen = None;
                self.recovered.clear();
                self.outlets.frozen(false);
                if !self.is_synced() {
                    // Nothing of the lists was kept that may have come meanwhile.
                    self.awaited.clone_from(&self.settings.awaited);
                }
                self.outlets.relist();
            }
            Err(error) => tracing::error!(%error, %since, "the event log still cannot be written"),
        }
    }
}
