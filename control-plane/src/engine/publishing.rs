//! What is published, and to whom it is news.
//!
//! Apart from the turns, because a log may lack what another one had: until a leader has listed what
//! there is, nobody may lose by it what they hold.

use std::sync::Arc;

use tracing::info_span;

use crate::engine::{Engine, Log, Outlets};
use crate::model::key::Kind;
use crate::snapshot::Version;
use crate::snapshot::publication::{Known, Publication};
use crate::telemetry::trace;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Whether there is something to publish, and it may be.
    pub fn has_news(&self) -> bool {
        self.awaited.is_empty()
            && (!self.unpublished.is_empty()
                || self.publication.is_restored()
                || self.publication.is_partial() && self.is_synced()
                || self.publication.snapshot().version() != self.fold.snapshot().version())
    }

    /// Publishes what changed since the last publication, if anything did. If the log could not take
    /// the first lists of this term in, endpoints go on for who holds no more than it.
    pub fn publish(&mut self) {
        if self.has_news() {
            let publication = self.next_publication();
            let is_whole = self.is_synced() || !self.has_begun();
            self.give_out(match is_whole {
                true => publication,
                false => publication.knowing(self.known()),
            });
        }
    }

    /// Publishes what the log holds, for who holds less than this version.
    pub(super) fn restore(&mut self, last_known: Version) {
        if self.knows_something() {
            let publication = self.next_publication().restoring(last_known);
            self.give_out(publication);
        }
    }

    /// The last version that had all there is. A log may lack what another one had, and nobody who
    /// holds that must lose it before a leader has listed what there is.
    pub(super) fn last_known(&self) -> Version {
        let synced = self.fold.state().head().synced;
        self.fold.versions().last_change(synced)
    }

    /// What the log knows, with what was written since.
    fn known(&self) -> Known {
        let synced = self.fold.state().head().synced;
        Known {
            up_to: self.last_known(),
            later: self.fold.versions().last_of_terms(synced).collect(),
        }
    }

    /// Whether the log ever knew all there is of some source, and it is known where that sends to:
    /// endpoints are in no record, and a replica that begins anew is told of them last.
    fn knows_something(&self) -> bool {
        let state = self.fold.state();
        let mut origins = state.head().listed.iter();
        let sends = origins.any(|origin| state.keys(*origin, Kind::Service).next().is_some());
        !state.head().listed.is_empty() && (!sends || !state.slices().is_empty())
    }

    fn next_publication(&mut self) -> Publication {
        let changed = std::mem::take(&mut self.unpublished);
        self.publication.succeed(
            self.settings.lineage.clone(),
            self.fold.snapshot().clone(),
            changed.into(),
        )
    }

    fn give_out(&mut self, publication: Publication) {
        let _publishing = info_span!("publish").entered();
        let publication = Arc::new(publication.traced(trace::parent()));
        self.publication = publication.clone();
        self.outlets.publish(publication);
    }
}
