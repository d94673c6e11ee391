//! Durations of requests by OTLP, in the form that Prometheus gives a histogram.
//!
//! Apart from the histogram that is scraped, because nothing makes an OTLP histogram of what was
//! counted elsewhere: it goes as three counters, from which the same quantiles are found.

use std::sync::Arc;

use opentelemetry::{KeyValue, metrics::Meter};

use super::{Cells, durations::NAME, instruments::listener};
use crate::metrics::BOUNDS;

/// `meter` is of those whose instruments are sent and not scraped: the names are those of the
/// histogram.
pub(super) fn show(cells: &Arc<Cells>, meter: &Meter) {
    let read = cells.clone();
    meter
        .u64_observable_counter(format!("{NAME}_bucket"))
        .with_description("Requests that took at most `le` seconds, by listener")
        .with_callback(move |instrument| {
            for (name, totals) in read.read().listeners {
                let mut below = 0;
                let bounds = BOUNDS.iter().map(|bound| bound.as_secs_f64().to_string());
                let bounds = bounds.chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(totals.duration.buckets) {
                    below += count;
                    instrument.observe(below, &[listener(&name), KeyValue::new("le", bound)]);
                }
            }
        })
        .build();
    let read = cells.clone();
    meter
        .u64_observable_counter(format!("{NAME}_count"))
        .with_description("Requests whose durations are in the buckets, by listener")
        .with_callback(move |instrument| {
            for (name, totals) in read.read().listeners {
                instrument.observe(totals.duration.buckets.iter().sum(), &[listener(&name)]);
            }
        })
        .build();
    let read = cells.clone();
    meter
        .f64_observable_counter(format!("{NAME}_sum"))
        .with_description("Seconds that all these requests took together, by listener")
        .with_callback(move |instrument| {
            for (name, totals) in read.read().listeners {
                instrument.observe(totals.duration.sum.as_secs_f64(), &[listener(&name)]);
            }
        })
        .build();
}
