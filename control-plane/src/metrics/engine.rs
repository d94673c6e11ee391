//! Instruments of the engine, and of what it publishes.
//!
//! What can be read off a publication is read when someone asks for metrics, so that a
//! change costs nothing for being counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};
use roadstead_proto::v1::ResourceType;
use tokio::sync::watch;

use crate::event::{Event, Record};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::refusal::Reason;
use crate::snapshot::publication::Publication;
use crate::state::State;
use crate::state::hold::HoldNow;

/// What the engine records.
#[derive(Debug)]
pub struct EngineMetrics {
    turn: Histogram<f64>,
    publications: Counter<u64>,
    refused: Gauge<u64>,
    unlistable: Gauge<u64>,
    missing: Gauge<u64>,
    /// Why each refused object is, to know what its acceptance or deletion takes away.
    refusals: BTreeMap<ObjectKey, Reason>,
    counts: BTreeMap<(Kind, Reason), u64>,
}

impl EngineMetrics {
    /// Registers the instruments, and those of the newest publication.
    pub fn new(meter: &Meter, newest: watch::Receiver<Arc<Publication>>) -> Self {
        observe_publication(meter, newest);
        Self {
            turn: super::seconds(
                meter,
                "roadstead.engine.turn",
                "Time of a turn of the engine, from inbox to publication.",
            ),
            publications: meter
                .u64_counter("roadstead.publications")
                .with_description("Publications.")
                .build(),
            refused: meter
                .u64_gauge("roadstead.objects.refused")
                .with_description("Objects that cannot be used as they are now.")
                .build(),
            unlistable: meter
                .u64_gauge("roadstead.kinds.unlistable")
                .with_description("1 for a kind that cannot be listed now.")
                .build(),
            missing: meter
                .u64_gauge("roadstead.objects.held")
                .with_description("Objects that were not found any more and are held back.")
                .build(),
            refusals: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Counts what a state holds from the start.
    pub fn restored(&mut self, state: &State) {
        let known: Vec<ObjectKey> = self.refusals.keys().cloned().collect();
        for key in known {
            if state.object(&key).is_none() {
                self.stands(&key, None);
            }
        }
        for (key, held) in state.objects() {
            let reason = held.refused.as_ref().map(|refused| refused.refusal.reason);
            self.stands(key, reason);
        }
    }

    /// A kind was listed, or cannot be.
    pub fn listable(&self, origin: Origin, kind: Kind, listable: bool) {
        let labels = [
            KeyValue::new("origin", origin.to_string()),
            KeyValue::new("kind", kind.as_str()),
        ];
        self.unlistable.record(u64::from(!listable), &labels);
    }

    /// This is held back now, and nothing else.
    pub fn holds(&self, holds: &[HoldNow]) {
        for (origin, kind) in Origin::ALL
            .iter()
            .flat_map(|o| Kind::ALL.map(|kind| (*o, kind)))
        {
            let of =
                |now: &&HoldNow| (now.hold.extent.origin, now.hold.extent.kind) == (origin, kind);
            let held = holds.iter().find(of).map_or(0, |now| {
                let missing = now.missing.and_then(|missing| u32::try_from(missing).ok());
                missing.unwrap_or(now.hold.extent.objects)
            });
            let labels = [
                KeyValue::new("origin", origin.to_string()),
                KeyValue::new("kind", kind.as_str()),
            ];
            self.missing.record(held.into(), &labels);
        }
    }

    /// A turn is over.
    pub fn turned(&self, took: Duration) {
        self.turn.record(took.as_secs_f64(), &[]);
    }

    /// Something was published.
    pub fn published(&self) {
        self.publications.add(1, &[]);
    }

    /// A record was applied.
    pub fn recorded(&mut self, record: &Record) {
        match (&record.event, record.event.object()) {
            (Event::ObjectRefused { refusal, .. }, Some(key)) => {
                self.stands(key, Some(refusal.reason));
            }
            (_, Some(key)) => self.stands(key, None),
            (_, None) => {}
        }
    }

    fn stands(&mut self, key: &ObjectKey, reason: Option<Reason>) {
        let before = match reason {
            Some(reason) => self.refusals.insert(key.clone(), reason),
            None => self.refusals.remove(key),
        };
        if before == reason {
            return;
        }
        for (reason, gone) in [(before, true), (reason, false)] {
            let Some(reason) = reason else { continue };
            let count = self.counts.entry((key.kind, reason)).or_default();
            *count = if gone {
                count.saturating_sub(1)
            } else {
                *count + 1
            };
            let labels = [
                KeyValue::new("kind", key.kind.as_str()),
                KeyValue::new("reason", reason.as_str()),
            ];
            self.refused.record(*count, &labels);
        }
    }
}

fn observe_publication(meter: &Meter, newest: watch::Receiver<Arc<Publication>>) {
    let of_version = |name, description, number: fn(&Publication) -> u64| {
        let newest = newest.clone();
        meter
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |observer| observer.observe(number(&newest.borrow()), &[]))
            .build();
    };
    of_version(
        "roadstead.published.epoch",
        "Epoch of the version served now.",
        |publication| publication.snapshot().version().epoch.0,
    );
    of_version(
        "roadstead.published.seq",
        "Sequence number of the version served now.",
        |publication| publication.snapshot().version().seq.0,
    );
    meter
        .u64_observable_gauge("roadstead.resources")
        .with_description("Resources of the snapshot served now.")
        .with_callback(move |observer| {
            let publication = Arc::clone(&newest.borrow());
            let mut counts = TYPES.map(|kind| (kind, 0));
            for id in publication.snapshot().resources().keys() {
                let count = counts.iter_mut().find(|(kind, _)| *kind == id.kind);
                if let Some((_, count)) = count {
                    *count += 1;
                }
            }
            for (kind, count) in counts {
                observer.observe(count, &[KeyValue::new("type", name(kind))]);
            }
        })
        .build();
}

const TYPES: [ResourceType; 8] = [
    ResourceType::Listener,
    ResourceType::Route,
    ResourceType::Upstream,
    ResourceType::Endpoints,
    ResourceType::Certificate,
    ResourceType::ServerName,
    ResourceType::Challenge,
    ResourceType::TicketSecrets,
];

fn name(kind: ResourceType) -> &'static str {
    match kind {
        ResourceType::Unspecified => "unspecified",
        ResourceType::Listener => "listener",
        ResourceType::Route => "route",
        ResourceType::Upstream => "upstream",
        ResourceType::Endpoints => "endpoints",
        ResourceType::Certificate => "certificate",
        ResourceType::ServerName => "server_name",
        ResourceType::Challenge => "challenge",
        ResourceType::TicketSecrets => "ticket_secrets",
    }
}
