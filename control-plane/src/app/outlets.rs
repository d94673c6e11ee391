//! Where what the engine makes goes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock;
use crate::engine::Outlets;
use crate::event::{Event, Record};
use crate::health::{Condition, Health};
use crate::history::Recorder;
use crate::metrics::engine::EngineMetrics;
use crate::model::time::Timestamp;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::project::Fold;
use crate::project::standing::StandingChange;
use crate::publish::Publisher;
use crate::snapshot::publication::Publication;
use crate::status::Teller;

/// All of them.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) publisher: Publisher,
    pub(super) presence: watch::Sender<Presence>,
    pub(super) recorder: Recorder,
    pub(super) teller: Teller,
    pub(super) wanted: watch::Sender<Wanted>,
    pub(super) relist: watch::Sender<u64>,
    pub(super) health: Health,
    pub(super) metrics: EngineMetrics,
}

impl Outlets for Sinks {
    fn now(&self) -> Timestamp {
        clock::now()
    }

    fn publish(&mut self, publication: Arc<Publication>) {
        let snapshot = publication.snapshot();
        let version = snapshot.version();
        let resources = snapshot.resources().len();
        if self.publisher.publish(publication) {
            self.metrics.published();
            tracing::debug!(%version, resources, "published");
        }
    }

    fn presence(&mut self, presence: &Presence) {
        self.presence.send_replace(presence.clone());
    }

    fn recorded(&mut self, record: &Record) {
        self.metrics.recorded(record);
        let Record {
            seq, epoch, event, ..
        } = record;
        match event {
            // Told, with what it comes to, by `status`.
            Event::ObjectRefused { .. } => {}
            Event::ObjectAccepted { .. } | Event::ObjectDeleted { .. } => {
                tracing::info!(version = %format_args!("{epoch}.{seq}"), "{event}");
            }
            Event::ObjectRecovered { .. } | Event::FaultBegan { .. } => tracing::warn!("{event}"),
            Event::EpochBegan { .. }
            | Event::LogInterrupted { .. }
            | Event::Configured { .. }
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
    }

    fn turned(&mut self, took: Duration) {
        self.metrics.turned(took);
        self.health.beat();
    }

    fn standing(&mut self, change: StandingChange) {
        self.teller.tell(change);
    }

    fn beat(&mut self) {
        self.health.beat();
    }

    fn synced(&mut self) {
        tracing::info!("all first lists are complete");
        self.health.set(Condition::Listed, true);
    }

    fn frozen(&mut self, frozen: bool) {
        self.health.set(Condition::LogWritable, !frozen);
    }

    fn relist(&mut self) {
        self.relist.send_modify(|times| *times += 1);
    }
}
