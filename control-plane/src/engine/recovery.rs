//! What a log does not know: from its first record until the first lists of all sources are
//! complete, and in each term until they are complete again.
//!
//! Apart from the turns, because it is about what was not seen. A full disk may keep what the recovery
//! records and the lists told from being taken in, and it is told again. A log that was whole once
//! may lack what another had since.

use crate::engine::{Engine, Log, Outlets};
use crate::event::Event;
use crate::model::key::Origin;
use crate::observe::observe;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Whether the log knows, or once knew, all there is of every source.
    pub(super) fn is_all_listed(&self) -> bool {
        let listed = &self.fold.state().head().listed;
        // What the configuration names is not of the past: files are read at each start.
        let mut origins = self
            .origins()
            .filter(|origin| *origin != Origin::Configuration);
        origins.all(|origin| listed.contains(&origin))
    }

    /// Whether the log says that all sources were listed in this term.
    pub(super) fn is_synced(&self) -> bool {
        let synced = self.fold.state().head().synced;
        synced == self.settings.epoch && self.is_all_listed()
    }

    /// The fact that it does.
    pub(super) fn sources_listed(&self) -> Event {
        Event::SourcesListed {
            origins: self.origins().collect(),
        }
    }

    /// What was not taken in has to be listed again before the log is whole.
    pub(super) fn list_anew(&mut self) {
        if !self.is_all_listed() {
            self.awaited.clone_from(&self.settings.awaited);
        }
    }

    /// The facts in recovery records that were not taken in: before the sources list anew,
    /// because a list tells of what is refused no more than that.
    pub(super) fn recovered_again(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for recovered in self.recovered.clone() {
            let observed = observe(self.fold.state(), recovered, self.outlets.now());
            events.extend(observed.events);
            for change in observed.slices {
                self.apply_endpoints(change);
            }
        }
        events
    }

    fn origins(&self) -> impl Iterator<Item = Origin> {
        self.settings.awaited.iter().map(|(origin, _)| *origin)
    }
}
