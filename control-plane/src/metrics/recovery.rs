//! Instruments of the keepers of recovery records.
//!
//! What is wanted and not stored is what a loss of the log would lose now.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use crate::model::key::Origin;

/// What a keeper records.
#[derive(Clone, Debug)]
pub struct RecoveryMetrics {
    records: Gauge<u64>,
    failures: Counter<u64>,
}

impl RecoveryMetrics {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            records: meter
                .u64_gauge("roadstead.recovery.records")
                .with_description(
                    "Recovery records that are wanted, that are stored, and that are left out.",
                )
                .build(),
            failures: meter
                .u64_counter("roadstead.recovery.failures")
                .with_description("Recovery records that could not be read, written or removed.")
                .build(),
        }
    }

    /// So many are to be kept.
    pub fn wanted(&self, origin: Origin, records: usize) {
        self.record(origin, "wanted", records);
    }

    /// So many are.
    pub fn stored(&self, origin: Origin, records: usize) {
        self.record(origin, "stored", records);
    }

    /// So many cannot be, and will not be before something changes.
    pub fn left_out(&self, origin: Origin, records: usize) {
        self.record(origin, "left_out", records);
    }

    /// One could not be read, written or removed.
    pub fn failure(&self, origin: Origin, cause: &'static str) {
        let labels = [of(origin), KeyValue::new("cause", cause)];
        self.failures.add(1, &labels);
    }

    fn record(&self, origin: Origin, state: &'static str, records: usize) {
        let records = u64::try_from(records).unwrap_or(u64::MAX);
        let labels = [of(origin), KeyValue::new("state", state)];
        self.records.record(records, &labels);
    }
}

fn of(origin: Origin) -> KeyValue {
    KeyValue::new("origin", origin.to_string())
}
