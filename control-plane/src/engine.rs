//! The single owner of `State`: observe → append → apply → project → publish.
//!
//! One turn drains what has arrived, makes it durable with one flush, and publishes once. An
//! idle engine begins at once; what arrives while it flushes is the next turn. So a lone
//! change waits for nothing and a storm coalesces by itself.

mod batch;
mod endpoints;
mod following;
mod frozen;
mod holds;
mod ports;
mod publishing;
mod recovery;
mod run;
mod storing;
mod term;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use tracing::info_span;

use crate::checkpoint::{Dirty, Restored, Storing};
use crate::event::{Epoch, Event, Record};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::observe::{Observation, observe};
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::project::{Changed, Fold};
use crate::snapshot::publication::Publication;
use crate::snapshot::{ResourceId, Version};
use crate::state::endpoints::SliceChange;
use crate::state::hold::Holding;

use endpoints::Renewal;
use term::Outbids;

pub use batch::Batch;
pub use ports::{InUse, Lacking, Log, LogError, Outlets};

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
}

/// The engine between turns. One lives as long as the process: it follows the records of a
/// leader, or leads, and knows all the while what the log came to.
#[derive(Debug)]
pub struct Engine<L, O> {
    settings: Settings,
    /// Records after which a checkpoint is due.
    checkpoint_after: u64,
    fold: Fold,
    presence: Presence,
    log: L,
    outlets: O,
    wanted: Wanted,
    /// What recovery records told and could not be taken in.
    recovered: Vec<Observation>,
    publication: Arc<Publication>,
    /// What changed since the last publication.
    unpublished: Vec<ResourceId>,
    /// Lists that must be complete before anything new is published.
    awaited: BTreeSet<(Origin, Kind)>,
    /// Lists that could not be had when they were asked for last.
    unlistable: BTreeSet<(Origin, Kind)>,
    dirty: Dirty,
    /// The checkpoint that is being stored.
    storing: Option<Storing>,
    /// The log may have a step to take of what can wait.
    untidy: bool,
    /// What is held back, as it was shown.
    holding: Holding,
    /// Something was confirmed, and that was not shown yet.
    confirmed: bool,
    /// Endpoints that are to be written behind.
    behind: BTreeMap<ObjectKey, SliceChange>,
    /// It is time that they are.
    behind_due: bool,
    /// Which versions all proxies hold: facts that nothing waits for, appended with the next
    /// that something does, or within a second. Each change would else be flushed twice.
    acknowledged: Vec<Event>,
    renewal: Renewal,
    /// The highest version of this installation that a proxy was found to hold.
    highest_held: Version,
    /// How often that began a term lately.
    outbids: Outbids,
    /// Since when the log cannot be written. Until it can, the configuration stands still at
    /// the last durable version, and endpoints go on.
    frozen: Option<Timestamp>,
    /// While what was found at the start is being served, and storing it waits.
    start: Range<Timestamp>,
}

impl<L: Log, O: Outlets> Engine<L, O> {
    /// What a log came to, served under the version that it had. From a log that never knew all
    /// there is nothing is published.
    pub fn new(restored: Restored, checkpoint_after: u64, log: L, outlets: O) -> Self {
        let Restored { fold, dirty } = restored;
        let begun = outlets.now();
        let mut engine = Self {
            awaited: BTreeSet::new(),
            unlistable: BTreeSet::new(),
            wanted: Wanted::of(fold.state()),
            recovered: Vec::new(),
            settings: Settings {
                lineage: fold.state().head().lineage.as_ref().into(),
                epoch: fold.state().head().epoch,
                binary_version: Box::default(),
                awaited: BTreeSet::new(),
            },
            checkpoint_after,
            fold,
            presence: Presence::default(),
            log,
            outlets,
            publication: Arc::default(),
            unpublished: Vec::new(),
            dirty,
            storing: None,
            untidy: true,
            holding: Holding::default(),
            confirmed: false,
            behind: BTreeMap::new(),
            behind_due: false,
            acknowledged: Vec::new(),
            renewal: Renewal::from(begun),
            highest_held: Version::default(),
            outbids: Outbids::default(),
            frozen: None,
            start: begun..begun,
        };
        engine.outlets.wanted(&engine.wanted);
        engine.restore(engine.last_known());
        engine.show_holds();
        engine
    }

    /// Begins a term: its first record is durable when this returns, and what the log holds is
    /// published, for who holds less. From a log that never knew all there is nothing is
    /// published before all lists are complete: a proxy that serves something must not be told
    /// that there is nothing.
    ///
    /// If the log cannot be written, the term begins when it can: until then what the log holds
    /// is served under the version that it had.
    pub fn lead(&mut self, settings: Settings) {
        let begun = self.outlets.now();
        self.awaited = settings.awaited.clone();
        self.unlistable.clear();
        self.settings = settings;
        self.show_secrets();
        self.recovered.clear();
        self.presence = Presence::default();
        self.outlets.presence(&self.presence);
        self.acknowledged.clear();
        self.fold.forget_missing();
        self.highest_held = Version::default();
        if self.frozen.take().is_some() {
            self.outlets.frozen(false);
        }
        self.start = begun..begun.later(LISTED_WITHIN);
        let last_known = self.last_known();
        if let Err(error) = self.begin_term() {
            self.freeze(&error);
        }
        self.outlets.wanted(&self.wanted);
        self.restore(last_known);
        self.show_holds();
    }

    /// Takes in what was seen. The observations of a batch do not speak of the same object.
    pub fn turn(&mut self, batch: Batch) {
        let waited = !self.awaited.is_empty();
        self.take_in_batch(batch);
        self.show_secrets();
        self.show_holds();
        if waited && self.awaited.is_empty() {
            let served = self.outlets.now().later(SERVED_WITHIN);
            self.start.end = self.start.end.min(served);
            self.outlets.synced();
        }
    }

    fn take_in_batch(&mut self, batch: Batch) {
        let mut events = Vec::new();
        let mut endpoints = false;
        for observation in batch.into_observations() {
            self.note(&observation);
            if let Observation::Proxy(report) = observation {
                self.note_held(&report);
                let told = self.presence.report(self.outlets.now(), report);
                let (acknowledged, told): (Vec<Event>, Vec<Event>) = told
                    .into_iter()
                    .partition(|event| matches!(event, Event::AcknowledgedByAll { .. }));
                self.acknowledged.extend(acknowledged);
                events.extend(told);
                self.outlets.presence(&self.presence);
                continue;
            }
            let now = self.outlets.now();
            let observed = observe(self.fold.state(), observation, now);
            for bundle in observed.bundles {
                self.outlets.bundle(bundle);
            }
            events.extend(observed.events);
            for change in observed.slices {
                self.apply_endpoints(change);
                endpoints = true;
            }
            for change in observed.missing {
                self.fold.apply_missing(change);
            }
        }
        if endpoints {
            self.outlets.reached(&self.fold);
        }
        if self.frozen.is_some() {
            self.acknowledged.clear();
            if !events.is_empty() {
                tracing::warn!(
                    events = events.len(),
                    "not taken in: the event log cannot be written"
                );
            }
            self.list_anew();
            return;
        }
        let recorded = self.outbid().and_then(|()| {
            if self.awaited.is_empty() && !self.is_synced() {
                events.push(self.sources_listed());
            }
            match events.is_empty() {
                true => Ok(()),
                false => self.record(events),
            }
        });
        match recorded {
            Ok(()) => self.recovered.clear(),
            Err(error) => self.freeze(&error),
        }
    }

    /// What need not happen at once becomes due: endpoints written behind, a checkpoint, an
    /// attempt to write again. To be called about once a second; soon after a start it waits.
    pub fn housekeep(&mut self) {
        if self.frozen.is_some() {
            self.thaw();
            return;
        }
        self.record_acknowledged();
        self.fall_due();
    }

    /// What can wait becomes due, whoever leads.
    pub(super) fn fall_due(&mut self) {
        self.untidy = true;
        if self.is_starting() {
            return;
        }
        self.renew_endpoints();
        self.behind_due = true;
        if self.dirty.records() >= self.checkpoint_after {
            self.begin_checkpoint();
        }
    }

    /// A start finds everything at once. To serve it comes before storing what can be found
    /// again, which takes as long. A clock that is put back ends it, too.
    fn is_starting(&self) -> bool {
        self.start.contains(&self.outlets.now())
    }

    /// Whether there is a step to take of what can wait.
    pub fn is_untidy(&self) -> bool {
        self.untidy && self.frozen.is_none()
    }

    /// Takes a step of it, between two turns.
    pub fn tidy(&mut self) {
        if self.behind_due {
            self.behind_due = self.write_some_behind();
        } else if self.storing.is_some() {
            self.store();
        } else {
            self.untidy = self.log.tidy().unwrap_or_else(|error| {
                tracing::warn!(%error, "the log was not tidied up");
                false
            });
        }
    }

    /// Appends what was acknowledged and is not yet in the log.
    pub(super) fn record_acknowledged(&mut self) {
        if !self.acknowledged.is_empty()
            && let Err(error) = self.record(Vec::new())
        {
            self.freeze(&error);
        }
    }

    /// Which Secrets are to be watched, once it is known who refers to any, and for which hosts
    /// there is none, once that is known.
    fn show_secrets(&mut self) {
        let referring = [Kind::IngressClass, Kind::Ingress];
        let known = !referring
            .iter()
            .any(|kind| self.awaited.contains(&(Origin::Kubernetes, *kind)));
        let state = self.fold.state();
        let in_use = known.then(|| state.certificates().in_use());
        self.outlets.secrets(in_use);
        let decides = [
            Kind::Certificate,
            Kind::IngressClass,
            Kind::Ingress,
            Kind::Secret,
        ];
        let mut awaited = self.awaited.iter();
        let mut unlistable = self.unlistable.iter();
        // Whoever cannot read Secrets does not know which there are.
        let known = !awaited.any(|(_, kind)| decides.contains(kind))
            && !unlistable.any(|(_, kind)| *kind == Kind::Secret);
        let lacking = known.then(|| state.certificates().lacking().clone());
        self.outlets.lacking(lacking);
    }

    /// What is known and served.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    fn note(&mut self, observation: &Observation) {
        let (origin, kind) = match observation {
            Observation::Listed { origin, kind, .. }
            | Observation::Unconfigured { origin, kind } => {
                self.outlets.listable(*origin, *kind, true);
                self.unlistable.remove(&(*origin, *kind));
                (*origin, *kind)
            }
            Observation::Unlistable {
                origin,
                kind,
                message,
            } => {
                self.outlets.listable(*origin, *kind, false);
                self.unlistable.insert((*origin, *kind));
                // Without certificates there still is HTTP.
                let of_tls = matches!(kind, Kind::Certificate | Kind::Secret);
                if !of_tls && !self.is_all_listed() {
                    tracing::error!(%origin, %kind, message, "cannot be listed: nothing is published before it was listed once");
                    return;
                }
                tracing::error!(%origin, %kind, message, "cannot be listed: what the log has of it stays");
                (*origin, *kind)
            }
            Observation::Recovered { .. } => {
                // Until it is durable.
                self.recovered.push(observation.clone());
                return;
            }
            Observation::Configured(_)
            | Observation::Changed(_)
            | Observation::Deleted(_)
            | Observation::Vanished { .. }
            | Observation::Confirmed(_)
            | Observation::Proxy(_) => return,
        };
        self.awaited.remove(&(origin, kind));
    }

    fn record(&mut self, events: Vec<Event>) -> Result<(), LogError> {
        let time = self.outlets.now().max(self.fold.state().head().time);
        let mut seq = self.fold.state().seq();
        // After the others, because the first record of a term is its beginning.
        let acknowledged = std::mem::take(&mut self.acknowledged);
        let records: Vec<Record> = events
            .into_iter()
            .chain(acknowledged)
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
        // By the same flush: who held less than this record, and is told of it after a crash,
        // must not be told of older endpoints than it was sent.
        if self.publication.is_something() {
            self.write_behind();
        }
        info_span!("append", records = records.len()).in_scope(|| self.log.append(&records))?;
        info_span!("apply", records = records.len()).in_scope(|| self.take_in_records(&records));
        self.outlets.reached(&self.fold);
        Ok(())
    }

    fn take_in_records(&mut self, records: &[Record]) {
        let mut wants = false;
        for record in records {
            self.apply(record);
            wants |= self.wanted.follow(self.fold.state(), &record.event);
        }
        if wants {
            self.outlets.wanted(&self.wanted);
        }
    }

    fn apply(&mut self, record: &Record) {
        let changed = self.fold.apply(record);
        self.dirty.note(record, &changed);
        self.note_confirmed(&record.event);
        self.outlets.recorded(record);
        self.take_in(changed);
    }

    fn take_in(&mut self, changed: Changed) {
        self.unpublished.extend(changed.resources);
        for change in changed.standings {
            self.outlets.standing(change);
        }
    }
}

/// How long storing waits for the first lists, and for proxies after them, in milliseconds.
const LISTED_WITHIN: i64 = 30_000;
const SERVED_WITHIN: i64 = 2_000;
