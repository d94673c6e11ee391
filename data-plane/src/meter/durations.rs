//! Durations of requests, as a Prometheus histogram.
//!
//! Apart from the instruments: OpenTelemetry's histograms want each value, and the threads
//! have counted them in buckets already.

use std::{collections::HashMap, sync::Arc};

use prometheus::{
    core::{Collector, Desc},
    proto,
};

use super::Cells;
use crate::metrics::{BOUNDS, HistogramTotals, ListenerTotals};

#[derive(Debug)]
pub(super) struct Durations {
    cells: Arc<Cells>,
    description: Desc,
}

impl Durations {
    pub(super) fn new(cells: Arc<Cells>) -> prometheus::Result<Self> {
        let description = Desc::new(
            NAME.to_owned(),
            HELP.to_owned(),
            vec!["listener".to_owned()],
            HashMap::new(),
        )?;
        Ok(Self { cells, description })
    }
}

impl Collector for Durations {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.description]
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let metric = |(name, totals): (Arc<str>, ListenerTotals)| {
            let mut label = proto::LabelPair::default();
            label.set_name("listener".to_owned());
            label.set_value(name.to_string());
            let mut metric = proto::Metric::from_label(vec![label]);
            metric.set_histogram(histogram(&totals.duration));
            metric
        };
        let metrics: Vec<_> = self
            .cells
            .read()
            .listeners
            .into_iter()
            .map(metric)
            .collect();
        if metrics.is_empty() {
            return vec![];
        }
        let mut family = proto::MetricFamily::default();
        family.set_name(NAME.to_owned());
        family.set_help(HELP.to_owned());
        family.set_field_type(proto::MetricType::HISTOGRAM);
        family.set_metric(metrics);
        vec![family]
    }
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

pub(super) const NAME: &str = "roadstead_request_duration_seconds";
const HELP: &str = "From the first byte of a request to the last of its answer, by listener";
