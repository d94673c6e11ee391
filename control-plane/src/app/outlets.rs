//! Where what the engine makes goes.

mod availability;
mod defaults;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use imbl::{OrdMap, OrdSet};
use roadstead_matcher::host::HostPattern;
use tokio::sync::watch;

use crate::acme::Lacking;
use crate::app::stored_log::InOffice;
use crate::clock;
use crate::engine::Outlets;
use crate::event::{Event, Record, Seq};
use crate::health::{Condition, Health};
use crate::history::Recorder;
use crate::keys::Keys;
use crate::metrics::engine::EngineMetrics;
use crate::model::bundle::Bundle;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::project::Fold;
use crate::project::standing::StandingChange;
use crate::publish::Publisher;
use crate::snapshot::publication::Publication;
use crate::state::hold::Holding;
use crate::status::Teller;
use crate::watch::InUse;

pub(super) use defaults::Defaults;

/// All of them.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) publisher: Publisher,
    /// The publication before the next.
    pub(super) published: Arc<Publication>,
    pub(super) bundles: Keys,
    pub(super) presence: watch::Sender<Presence>,
    pub(super) recorder: Recorder,
    pub(super) holding: watch::Sender<Holding>,
    /// Tells users of their objects, while this replica leads.
    pub(super) teller: Arc<ArcSwapOption<Teller>>,
    pub(super) office: InOffice,
    pub(super) frozen: watch::Sender<bool>,
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) relist: watch::Sender<u64>,
    pub(super) secrets: watch::Sender<InUse>,
    pub(super) lacking: watch::Sender<Lacking>,
    pub(super) health: Health,
    pub(super) metrics: EngineMetrics,
    pub(super) defaults: Defaults,
}

impl Outlets for Sinks {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn publish(&mut self, publication: Arc<Publication>) {
        if self
            .office
            .load()
            .as_ref()
            .is_some_and(|office| !office.holds())
        {
            return;
        }
        let snapshot = publication.snapshot();
        let version = snapshot.version();
        let resources = snapshot.resources().len();
        let tells = self.office.load().is_some();
        let changes = availability::changes(&self.published, &publication);
        for (name, reachable) in changes.filter(|_| tells) {
            if reachable {
                tracing::info!(upstream = name, "has endpoints now");
            } else {
                tracing::info!(upstream = name, "has no endpoints: answered with 503");
            }
        }
        self.published = Arc::clone(&publication);
        if self.publisher.publish(publication) {
            self.metrics.published();
            tracing::debug!(%version, resources, "published");
        }
    }

    fn bundle(&mut self, bundle: Bundle) {
        self.bundles.put(bundle);
    }

    fn presence(&mut self, presence: &Presence) {
        self.presence.send_replace(presence.clone());
    }

    fn recorded(&mut self, record: &Record) {
        self.metrics.recorded(record);
        let Record {
            seq, epoch, event, ..
        } = record;
        if self.office.load().is_none() {
            // The leader tells.
            tracing::debug!(version = %format_args!("{epoch}.{seq}"), "followed: {event}");
            return;
        }
        if let (Event::Configured { settings }, Some(teller)) = (event, &*self.teller.load()) {
            // Before the standings that come of it are told.
            teller.silence(settings.is_beside());
        }
        match event {
            // What a refusal comes to for its owner is told, as a warning, by `status`.
            Event::ObjectRefused { .. }
            | Event::ObjectAccepted { .. }
            | Event::ObjectDeleted { .. } => {
                tracing::info!(version = %format_args!("{epoch}.{seq}"), "{event}");
            }
            Event::DeletionHeld { .. } => {
                let remedy = "see GuardService/ListHolds; if they shall go (as after a change of \
                              sources.kubernetes.namespaces or labelSelector that was meant), \
                              ConfirmDeletions, or name the hold in deletionGuard.confirm";
                tracing::error!(hold = %format_args!("{epoch}.{seq}"), remedy, "{event}");
            }
            Event::ObjectRecovered { .. }
            | Event::ClusterRestored { .. }
            | Event::DeletionConfirmed { .. }
            | Event::FaultBegan { .. } => tracing::warn!("{event}"),
            Event::EpochBegan { .. }
            | Event::LogInterrupted { .. }
            | Event::Configured { .. }
            | Event::DeletionHoldEnded { .. }
            | Event::SourcesListed { .. }
            | Event::ProxyJoined { .. }
            | Event::ProxyLeft { .. }
            | Event::FaultEnded { .. }
            | Event::AcknowledgedByAll { .. } => tracing::info!("{event}"),
        }
    }

    fn wanted(&mut self, wanted: &Wanted) {
        self.wanted.send_replace(wanted.clone());
    }

    fn reached(&mut self, fold: &Fold) {
        self.recorder.reached(fold);
        self.defaults.look(fold.state(), clock::now());
    }

    fn turned(&mut self, took: Duration) {
        self.metrics.turned(took);
        self.health.beat();
    }

    fn standing(&mut self, change: StandingChange) {
        if let Some(teller) = &*self.teller.load() {
            teller.tell(change);
        }
    }

    fn beat(&mut self) {
        self.health.beat();
        if self.office.load().is_none() {
            // The leader tells.
            return;
        }
        for listener in self.defaults.due(clock::now()) {
            tracing::warn!(
                "listeners.{listener}.tls.defaultCertificate: there is no certificate that can be \
                 used; clients whose host has none are refused until it is there"
            );
        }
    }

    fn listable(&mut self, origin: Origin, kind: Kind, listable: bool) {
        self.metrics.listable(origin, kind, listable);
        self.health.listable(origin, kind, listable);
    }

    fn holds(&mut self, holding: &Holding) {
        let holds = &holding.holds;
        self.metrics.holds(holds);
        self.health
            .hold(holds.iter().map(|now| now.hold.clone()).collect());
        self.holding.send_replace(holding.clone());
    }

    fn secrets(&mut self, in_use: Option<&OrdMap<ObjectKey, Seq>>) {
        self.secrets.send_if_modified(|told| {
            let same = match (&told, in_use) {
                (Some(told), Some(in_use)) => told.ptr_eq(in_use),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same {
                *told = in_use.cloned();
            }
            !same
        });
    }

    fn lacking(&mut self, lacking: Option<OrdSet<HostPattern>>) {
        self.lacking.send_if_modified(|told| {
            let same = match (&told, &lacking) {
                (Some(told), Some(lacking)) => told.ptr_eq(lacking),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !same {
                *told = lacking;
            }
            !same
        });
    }

    fn synced(&mut self) {
        tracing::info!("all first lists are complete");
        if let Some(teller) = &*self.teller.load() {
            teller.complete();
        }
        self.health.set(Condition::Listed, true);
    }

    fn restarted(&mut self, fold: &Fold) {
        self.metrics.restored(fold.state());
        self.recorder.restarted(fold);
    }

    fn frozen(&mut self, frozen: bool) {
        self.health.set(Condition::LogWritable, !frozen);
        self.frozen.send_replace(frozen);
    }

    fn relist(&mut self) {
        self.relist.send_modify(|times| *times += 1);
    }
}
