//! The single owner of `State`: observe → append → apply → project → publish.
//!
//! One turn drains what has arrived, makes it durable with one flush, and publishes once. An
//! idle engine begins at once; what arrives while it flushes is the next turn. So a lone
//! change waits for nothing and a storm coalesces by itself.

mod batch;
mod ports;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::info_span;

use crate::checkpoint::Dirty;
use crate::event::{Epoch, Event, Record, Seq};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::observe::{Observation, observe};
use crate::presence::Presence;
use crate::project::{Changed, Fold, REVISION};
use crate::snapshot::ResourceId;
use crate::snapshot::publication::Publication;
use crate::state::endpoints::SliceChange;
use crate::telemetry::trace;

pub use batch::Batch;
pub use ports::{Log, LogError, Outlets};

/// What an engine begins with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Id of the installation.
    pub lineage: Arc<str>,
    /// This leader's term.
    pub epoch: Epoch,
    /// The version of this program, for people.
    pub binary_version: Box<str>,
    /// Lists that must be complete before anything new is published.
    pub awaited: BTreeSet<(Origin, Kind)>,
    /// Records after which a checkpoint is due.
    pub checkpoint_after: u64,
}

/// The engine between turns.
#[derive(Debug)]
pub struct Engine<L, O> {
    settings: Settings,
    fold: Fold,
    presence: Presence,
    log: L,
    outlets: O,
    publication: Arc<Publication>,
    /// What changed since the last publication.
    unpublished: Vec<ResourceId>,
    dirty: Dirty,
    since_checkpoint: u64,
    /// Endpoints that are to be written behind.
    behind: BTreeMap<ObjectKey, SliceChange>,
    /// Since when the log cannot be written. Until it can, the configuration stands still at
    /// the last durable version, and endpoints go on.
    frozen: Option<Timestamp>,
}

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Begins a term: its first record is durable when this returns, and what the log holds is
    /// published, for who holds less. From an empty log nothing is published before all lists are complete: a proxy
    /// that serves something must not be told that there is nothing.
    pub fn begin(settings: Settings, fold: Fold, log: L, outlets: O) -> Result<Self, LogError> {
        let mut engine = Self {
            settings,
            fold,
            presence: Presence::default(),
            log,
            outlets,
            publication: Arc::default(),
            unpublished: Vec::new(),
            dirty: Dirty::default(),
            since_checkpoint: 0,
            behind: BTreeMap::new(),
            frozen: None,
        };
        let first = engine.fold.state().seq() == Seq::default();
        let restored = engine.fold.snapshot().version();
        engine.record(vec![Event::EpochBegan {
            lineage: engine.settings.lineage.as_ref().into(),
            projection_revision: REVISION,
            binary_version: engine.settings.binary_version.clone(),
        }])?;
        if !first {
            let publication = engine.next_publication().restoring(restored);
            engine.give_out(publication);
        }
        Ok(engine)
    }

    /// Takes in what was seen. The observations of a batch do not speak of the same object.
    pub fn turn(&mut self, batch: Batch) {
        let mut events = Vec::new();
        for observation in batch.into_observations() {
            self.note_list(&observation);
            if let Observation::Proxy(report) = observation {
                events.extend(self.presence.report(self.outlets.now(), report));
                self.outlets.presence(&self.presence);
                continue;
            }
            let observed = observe(self.fold.state(), observation);
            events.extend(observed.events);
            for change in observed.slices {
                self.apply_endpoints(change);
            }
        }
        if events.is_empty() {
            return;
        }
        if self.frozen.is_some() {
            tracing::warn!(
                events = events.len(),
                "not taken in: the event log cannot be written"
            );
            return;
        }
        if let Err(error) = self.record(events) {
            let now = self.outlets.now();
            tracing::error!(%error, "the configuration stands still until the log can be written");
            self.frozen = Some(now);
            self.outlets.frozen(true);
        }
    }

    /// Whether there is something to publish, and it may be.
    pub fn has_news(&self) -> bool {
        self.settings.awaited.is_empty()
            && (!self.unpublished.is_empty()
                || self.publication.is_restored()
                || self.publication.snapshot().version() != self.fold.snapshot().version())
    }

    /// Publishes what changed since the last publication, if anything did.
    pub fn publish(&mut self) {
        if self.has_news() {
            let publication = self.next_publication();
            self.give_out(publication);
        }
    }

    /// What need not happen at once: endpoints written behind, a checkpoint that is due, an
    /// attempt to write again. To be called about once a second.
    pub fn housekeep(&mut self) {
        if self.frozen.is_some() {
            self.thaw();
            return;
        }
        self.write_behind();
        if self.since_checkpoint >= self.settings.checkpoint_after {
            self.checkpoint();
        }
    }

    /// Stores a checkpoint of now.
    pub fn checkpoint(&mut self) {
        let result = self
            .dirty
            .entries(&self.fold)
            .map_err(LogError::new)
            .and_then(|entries| self.log.checkpoint(self.fold.state().seq(), entries));
        match result {
            Ok(()) => {
                self.dirty = Dirty::default();
                self.since_checkpoint = 0;
            }
            // The dirty set stays, and the next attempt writes it.
            Err(error) => tracing::warn!(%error, "no checkpoint was stored"),
        }
    }

    /// What is known and served.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    fn note_list(&mut self, observation: &Observation) {
        let (origin, kind) = match observation {
            Observation::Listed { origin, kind, .. } => (*origin, *kind),
            Observation::Unlistable {
                origin,
                kind,
                message,
            } => {
                tracing::error!(%origin, %kind, message, "cannot be listed: what the log has of it stays");
                (*origin, *kind)
            }
            Observation::Configured(_)
            | Observation::Changed(_)
            | Observation::Deleted(_)
            | Observation::Proxy(_) => return,
        };
        if self.settings.awaited.remove(&(origin, kind)) && self.settings.awaited.is_empty() {
            self.outlets.synced();
        }
    }

    fn record(&mut self, events: Vec<Event>) -> Result<(), LogError> {
        let time = self.outlets.now().max(self.fold.state().head().time);
        let mut seq = self.fold.state().seq();
        let records: Vec<Record> = events
            .into_iter()
            .map(|event| {
                seq = seq.next();
                Record {
                    seq,
                    epoch: self.settings.epoch,
                    time,
                    event,
                }
            })
            .collect();
        info_span!("append", records = records.len()).in_scope(|| self.log.append(&records))?;
        let applying = info_span!("apply", records = records.len()).entered();
        for record in &records {
            self.apply(record);
        }
        drop(applying);
        self.outlets.reached(&self.fold);
        Ok(())
    }

    fn apply(&mut self, record: &Record) {
        let changed = self.fold.apply(record);
        self.dirty.note(record, &changed);
        self.since_checkpoint += 1;
        self.outlets.recorded(record);
        self.take_in(changed);
    }

    fn apply_endpoints(&mut self, change: SliceChange) {
        self.behind.insert(change.key.clone(), change.clone());
        let changed = self.fold.apply_endpoints(change);
        self.take_in(changed);
    }

    fn take_in(&mut self, changed: Changed) {
        self.unpublished.extend(changed.resources);
        for change in changed.standings {
            self.outlets.standing(change);
        }
    }

    /// Stores the endpoints that changed, for a start without sources.
    pub fn write_behind(&mut self) {
        if self.behind.is_empty() {
            return;
        }
        let behind = std::mem::take(&mut self.behind);
        if let Err(error) = self.log.write_endpoints(behind, self.outlets.now()) {
            tracing::warn!(%error, "endpoints were not written behind");
        }
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

    /// Tries to write again. What was appended and not acknowledged may be durable all the
    /// same: such records are taken in first. Then the sources list anew, because what they
    /// saw meanwhile was not kept.
    fn thaw(&mut self) {
        let Some(since) = self.frozen else { return };
        let resumed = self.log.resume(self.fold.state().seq());
        let result = resumed.and_then(|records| {
            for record in &records {
                self.apply(record);
            }
            self.record(vec![Event::LogInterrupted { since }])
        });
        match result {
            Ok(()) => {
                tracing::info!(%since, "the event log can be written again");
                self.frozen = None;
                self.outlets.frozen(false);
                self.outlets.relist();
            }
            Err(error) => tracing::error!(%error, %since, "the event log still cannot be written"),
        }
    }
}
