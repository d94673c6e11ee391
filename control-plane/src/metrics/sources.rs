//! Instruments of the sources.
//!
//! Apart, because a watch that stands still looks like a cluster in which nothing happens:
//! only its own word tells the two apart.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use crate::model::key::{Kind, Origin};

/// What a source records of its watches.
#[derive(Clone, Debug)]
pub struct SourceMetrics {
    state: Gauge<u64>,
    failures: Counter<u64>,
}

/// What a watch of one kind is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchState {
    /// Reading a complete list.
    Listing,
    /// Complete, and told of every change.
    Watching,
    /// Waiting to try again.
    Failing,
    /// The cluster does not know this kind.
    Absent,
}

impl SourceMetrics {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            state: meter
                .u64_gauge("roadstead.watch.state")
                .with_description("1 for the state that a watch is in.")
                .build(),
            failures: meter
                .u64_counter("roadstead.watch.failures")
                .with_description("Lists and watches that failed.")
                .build(),
        }
    }

    /// A watch is in this state now.
    pub fn state(&self, origin: Origin, kind: Kind, now: WatchState) {
        for state in WatchState::ALL {
            let [of_origin, of_kind] = labels(origin, kind);
            let state_label = KeyValue::new("state", state.as_str());
            let value = u64::from(state == now);
            self.state.record(value, &[of_origin, of_kind, state_label]);
        }
    }

    /// A list or a watch failed.
    pub fn failed(&self, origin: Origin, kind: Kind) {
        self.failures.add(1, &labels(origin, kind));
    }
}

impl WatchState {
    const ALL: [Self; 4] = [Self::Listing, Self::Watching, Self::Failing, Self::Absent];

    fn as_str(self) -> &'static str {
        match self {
            Self::Listing => "listing",
            Self::Watching => "watching",
            Self::Failing => "failing",
            Self::Absent => "absent",
        }
    }
}

fn labels(origin: Origin, kind: Kind) -> [KeyValue; 2] {
    let origin = match origin {
        Origin::Folder => "folder",
        Origin::Kubernetes => "kubernetes",
    };
    [
        KeyValue::new("origin", origin),
        KeyValue::new("kind", kind.as_str()),
    ]
}
