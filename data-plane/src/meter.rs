//! Shows what the traffic threads count: as Prometheus text and by OTLP.
//!
//! Apart from the cells, which know nothing of names and labels, and from the threads, which
//! are never asked: whoever wants the figures reads the cells from outside.

mod durations;
mod instruments;
mod pushed;

use std::sync::Arc;

use opentelemetry::metrics::Meter;
use prometheus::Registry;

use crate::metrics::{ThreadMetrics, ThreadTotals};

/// The cells of all threads.
#[derive(Debug)]
pub struct Cells(Vec<Arc<ThreadMetrics>>);

impl Cells {
    pub fn new(threads: Vec<Arc<ThreadMetrics>>) -> Arc<Self> {
        Arc::new(Self(threads))
    }

    /// Has the figures shown wherever metrics are: what instruments can show through `meter`,
    /// durations in what is scraped, and through `pushed`, whose instruments are not.
    pub fn show(
        self: &Arc<Self>,
        meter: &Meter,
        registry: &Registry,
        pushed: Option<&Meter>,
    ) -> prometheus::Result<()> {
        instruments::show(self, meter);
        if let Some(meter) = pushed {
            pushed::show(self, meter);
        }
        registry.register(Box::new(durations::Durations::new(self.clone())?))
    }

    fn read(&self) -> ThreadTotals {
        let mut totals = ThreadTotals::default();
        for thread in &self.0 {
            totals += thread.read();
        }
        totals
    }
}

#[cfg(test)]
mod tests;
