//! Instruments of the statuses that are written to Ingresses.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// What their writer records.
#[derive(Clone, Debug)]
pub struct StatusMetrics {
    writes: Counter<u64>,
}

impl StatusMetrics {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            writes: meter
                .u64_counter("roadstead.ingress.status.writes")
                .with_description("Statuses of Ingresses that were to be written, by outcome.")
                .build(),
        }
    }

    /// One was to be written, and this came of it: `written`, `cleared`, `taken` by another
    /// field manager, `gone` or `failed`.
    pub fn write(&self, outcome: &'static str) {
        self.writes.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
