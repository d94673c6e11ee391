//! Instruments of the watches.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

use crate::model::key::Kind;

/// Counters, with labels from closed lists.
#[derive(Clone, Debug)]
pub struct WatchMetrics {
    lists: Counter<u64>,
    failures: Counter<u64>,
    unnamed: Counter<u64>,
}

impl WatchMetrics {
    /// Registers them.
    pub fn new(meter: &Meter) -> Self {
        Self {
            lists: meter
                .u64_counter("roadstead.watch.lists")
                .with_description("Complete lists of a kind from the Kubernetes API.")
                .build(),
            failures: meter
                .u64_counter("roadstead.watch.failures")
                .with_description("Lists and watches that failed, by kind and cause.")
                .build(),
            unnamed: meter
                .u64_counter("roadstead.watch.unnamed.objects")
                .with_description("Objects without a usable name, which are left out.")
                .build(),
        }
    }

    /// A kind was listed in full.
    pub fn list(&self, kind: Kind) {
        self.lists.add(1, &[KeyValue::new("kind", kind.as_str())]);
    }

    /// A list or a watch failed, from a closed list of causes.
    pub fn failure(&self, kind: Kind, cause: &'static str) {
        let labels = [
            KeyValue::new("kind", kind.as_str()),
            KeyValue::new("cause", cause),
        ];
        self.failures.add(1, &labels);
    }

    /// An object was left out.
    pub fn unnamed(&self, kind: Kind) {
        self.unnamed.add(1, &[KeyValue::new("kind", kind.as_str())]);
    }
}
