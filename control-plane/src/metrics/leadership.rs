//! Instruments of leading and following.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter, UpDownCounter};

/// What replicas record of each other.
#[derive(Clone, Debug)]
pub struct LeadershipMetrics {
    leading: Gauge<u64>,
    changes: Counter<u64>,
    followers: UpDownCounter<i64>,
}

impl LeadershipMetrics {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        let metrics = Self {
            leading: meter
                .u64_gauge("roadstead.leading")
                .with_description("1 while this replica leads.")
                .build(),
            changes: meter
                .u64_counter("roadstead.terms")
                .with_description("Terms of this replica that began or ended.")
                .build(),
            followers: meter
                .i64_up_down_counter("roadstead.followers")
                .with_description("Replicas that follow this one's log now.")
                .build(),
        };
        metrics.leading.record(0, &[]);
        metrics
    }

    /// A term began, or is over.
    pub fn leads(&self, leads: bool) {
        self.leading.record(u64::from(leads), &[]);
        let change = if leads { "began" } else { "ended" };
        self.changes.add(1, &[KeyValue::new("change", change)]);
    }

    /// A replica follows, or no longer does.
    pub fn follows(&self, follows: bool) {
        self.followers.add(if follows { 1 } else { -1 }, &[]);
    }
}
