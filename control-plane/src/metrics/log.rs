//! Instruments of the event log.
//!
//! Apart from the engine's: the log is the part that a disk can slow down.

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter};

use crate::event::{Class, Record};

/// What the owner of the log records.
#[derive(Clone, Debug)]
pub struct LogMetrics {
    records: Counter<u64>,
    append: Histogram<f64>,
    size: Gauge<u64>,
    writable: Gauge<u64>,
}

impl LogMetrics {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            records: meter
                .u64_counter("roadstead.log.records")
                .with_description("Records appended to the event log.")
                .build(),
            append: super::seconds(
                meter,
                "roadstead.log.append",
                "Time to make a batch of records durable.",
            ),
            size: meter
                .u64_gauge("roadstead.log.size")
                .with_unit("By")
                .with_description("Size of the event log's folder.")
                .build(),
            writable: meter
                .u64_gauge("roadstead.log.writable")
                .with_description("Whether the event log can be written.")
                .build(),
        }
    }

    /// A batch became durable.
    pub fn appended(&self, records: &[Record], took: Duration) {
        for record in records {
            let class = KeyValue::new("class", class(record.event.class()));
            self.records.add(1, &[class]);
        }
        self.append.record(took.as_secs_f64(), &[]);
    }

    /// The log's folder was measured.
    pub fn size(&self, bytes: u64) {
        self.size.record(bytes, &[]);
    }

    /// The log can be written, or cannot.
    pub fn writable(&self, writable: bool) {
        self.writable.record(writable.into(), &[]);
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Configuration => "configuration",
        Class::Lifecycle => "lifecycle",
        Class::Presence => "presence",
    }
}
