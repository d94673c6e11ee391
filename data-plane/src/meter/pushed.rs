//! Durations by OTLP, in the form that Prometheus gives a histogram.
//!
//! Apart from the histograms that are scraped, because nothing makes an OTLP histogram of what was
//! counted elsewhere: each goes as three counters, from which the same quantiles are found.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};

use super::{
    Cells,
    durations::{SHOWN, Shown},
    instruments::listener,
};
use crate::metrics::{BOUNDS, HistogramTotals};

/// `meter` is of those whose instruments are sent and not scraped: the names are those of the
/// histograms.
pub(super) fn show(cells: &Arc<Cells>, meter: &Meter) {
    for Shown { name, read, .. } in SHOWN {
        let cells = cells.clone();
        show_one(name, meter, move || {
            let labels = |name: Option<Arc<str>>| name.iter().map(listener).collect();
            let read = read(cells.read()).into_iter();
            read.map(|(name, totals)| (labels(name), totals)).collect()
        });
    }
}

/// A histogram for each set of labels.
type Histograms = Vec<(Vec<KeyValue>, HistogramTotals)>;

fn show_one(
    name: &'static str,
    meter: &Meter,
    read: impl Fn() -> Histograms + Clone + Send + Sync + 'static,
) {
    let histograms = read.clone();
    meter
        .u64_observable_counter(format!("{name}_bucket"))
        .with_description("Those that took at most `le` seconds")
        .with_callback(move |instrument| {
            for (labels, totals) in histograms() {
                let mut below = 0;
                let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string());
                let bounds = bounds.chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(totals.buckets) {
                    below += count;
                    let mut labels = labels.clone();
                    labels.push(KeyValue::new("le", bound));
                    instrument.observe(below, &labels);
                }
            }
        })
        .build();
    let histograms = read.clone();
    meter
        .u64_observable_counter(format!("{name}_count"))
        .with_description("Those whose durations are in the buckets")
        .with_callback(move |instrument| {
            for (labels, totals) in histograms() {
                instrument.observe(totals.buckets.iter().sum(), &labels);
            }
        })
        .build();
    meter
        .f64_observable_counter(format!("{name}_sum"))
        .with_description("Seconds that all these took together")
        .with_callback(move |instrument| {
            for (labels, totals) in read() {
                instrument.observe(totals.sum.as_secs_f64(), &labels);
            }
        })
        .build();
}
