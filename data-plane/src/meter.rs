//! Shows what the traffic threads count: as Prometheus text and by OTLP.
//!
//! Apart from the cells, which know nothing of names and labels, and from the threads, which
//! are never asked: whoever wants the figures reads the cells from outside.

mod durations;
mod instruments;

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use opentelemetry::metrics::Meter;
use prometheus::Registry;

use crate::metrics::{ListenerMetrics, ListenerTotals, ThreadMetrics, ThreadTotals};

/// The cells of all threads.
#[derive(Debug, Default)]
pub struct Cells {
    threads: Vec<Arc<ThreadMetrics>>,
    /// One of each thread for each listener that was ever open: a counter never goes back.
    listeners: ArcSwap<Vec<Arc<ListenerMetrics>>>,
}

impl Cells {
    pub fn new(threads: Vec<Arc<ThreadMetrics>>) -> Self {
        Self {
            threads,
            listeners: ArcSwap::default(),
        }
    }

    /// The cells of a listener, one for each thread; those of before if it was open before.
    pub fn listener(&self, name: &Arc<str>) -> Vec<Arc<ListenerMetrics>> {
        let all = self.listeners.load();
        let known: Vec<_> = all
            .iter()
            .filter(|cells| cells.name == *name)
            .cloned()
            .collect();
        if !known.is_empty() {
            return known;
        }
        let new = || Arc::new(ListenerMetrics::new(name.clone()));
        let new: Vec<_> = self.threads.iter().map(|_| new()).collect();
        let more = all.iter().chain(&new).cloned().collect();
        self.listeners.store(Arc::new(more));
        new
    }

    /// Has the figures shown wherever metrics are.
    pub fn show(self: &Arc<Self>, meter: &Meter, registry: &Registry) -> prometheus::Result<()> {
        instruments::show(self, meter);
        registry.register(Box::new(durations::Durations::new(self.clone())?))
    }

    fn threads(&self) -> ThreadTotals {
        let mut totals = ThreadTotals::default();
        for thread in &self.threads {
            totals += thread.read();
        }
        totals
    }

    fn listeners(&self) -> Vec<ListenerTotals> {
        let mut totals: BTreeMap<Arc<str>, ListenerTotals> = BTreeMap::new();
        for cells in self.listeners.load().iter() {
            let of_thread = cells.read();
            match totals.get_mut(&cells.name) {
                Some(sum) => *sum += of_thread,
                None => {
                    totals.insert(cells.name.clone(), of_thread);
                }
            }
        }
        totals.into_values().collect()
    }
}

#[cfg(test)]
mod tests;
