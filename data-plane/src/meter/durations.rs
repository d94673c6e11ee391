//! Durations of requests and of handshakes, as Prometheus histograms.
//!
//! Apart from the instruments: OpenTelemetry's histograms want each value, and the threads
//! have counted them in buckets already.

use std::{collections::HashMap, sync::Arc};

use prometheus::{
    core::{Collector, Desc},
    proto,
};

use super::Cells;
use crate::metrics::{BOUNDS, HistogramTotals, ThreadTotals};

/// One histogram, for each listener or for the whole process.
pub(super) struct Shown {
    pub(super) name: &'static str,
    help: &'static str,
    pub(super) read: fn(ThreadTotals) -> Vec<Named>,
}

/// Of a listener, or of all.
type Named = (Option<Arc<str>>, HistogramTotals);

pub(super) const SHOWN: [Shown; 2] = [
    Shown {
        name: "roadstead_request_duration_seconds",
        help: "From the first byte of a request to the last of its answer, by listener",
        read: |totals| {
            let listeners = totals.listeners.into_iter();
            listeners
                .map(|(name, totals)| (Some(name), totals.duration))
                .collect()
        },
    },
    Shown {
        name: "roadstead_tls_handshake_duration_seconds",
        help: "From an accepted connection to the end of its TLS handshake, if that succeeded, with \
               any wait for a first certificate",
        read: |totals| vec![(None, totals.handshake_duration)],
    },
];

#[derive(Debug)]
pub(super) struct Durations {
    cells: Arc<Cells>,
    descriptions: Vec<Desc>,
}

impl Durations {
    pub(super) fn new(cells: Arc<Cells>) -> prometheus::Result<Self> {
        let description = |shown: &Shown| {
            let labels = match shown.name == SHOWN[0].name {
                true => vec!["listener".to_owned()],
                false => vec![],
            };
            let (name, help) = (shown.name.to_owned(), shown.help.to_owned());
            Desc::new(name, help, labels, HashMap::new())
        };
        Ok(Self {
            cells,
            descriptions: SHOWN.iter().map(description).collect::<Result<_, _>>()?,
        })
    }
}

impl Collector for Durations {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let totals = self.cells.read();
        let families = SHOWN.iter().map(|shown| family(shown, totals.clone()));
        families.flatten().collect()
    }
}

fn family(shown: &Shown, totals: ThreadTotals) -> Option<proto::MetricFamily> {
    let metric = |(name, totals): Named| {
        let label = name.map(|name| {
            let mut label = proto::LabelPair::default();
            label.set_name("listener".to_owned());
            label.set_value(name.to_string());
            label
        });
        let mut metric = proto::Metric::from_label(label.into_iter().collect());
        metric.set_histogram(histogram(&totals));
        metric
    };
    let metrics: Vec<_> = (shown.read)(totals).into_iter().map(metric).collect();
    if metrics.is_empty() {
        return None;
    }
    let mut family = proto::MetricFamily::default();
    family.set_name(shown.name.to_owned());
    family.set_help(shown.help.to_owned());
    family.set_field_type(proto::MetricType::HISTOGRAM);
    family.set_metric(metrics);
    Some(family)
}

/// Prometheus' buckets hold all below their bound.
fn histogram(totals: &HistogramTotals) -> proto::Histogram {
    let mut below = 0;
    let bucket = |(bound, count): (&std::time::Duration, &u64)| {
        below += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound.as_secs_f64());
        bucket.set_cumulative_count(below);
        bucket
    };
    let buckets = BOUNDS.iter().zip(&totals.buckets).map(bucket).collect();
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(buckets);
    histogram.set_sample_count(totals.buckets.iter().sum());
    histogram.set_sample_sum(totals.sum.as_secs_f64());
    histogram
}
