//! How long requests and handshakes took, in buckets.
//!
//! Apart, because the bounds are part of what is promised to whoever draws the curves.

use std::{ops::AddAssign, time::Duration};

use super::Counter;

/// Upper bounds of the buckets; what is slower goes to one more.
pub const BOUNDS: [Duration; 16] = [
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Counter; BOUNDS.len() + 1],
    sum_micros: Counter,
}

impl Histogram {
    pub fn record(&self, took: Duration) {
        let place = BOUNDS.partition_point(|bound| *bound < took);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add(1);
        }
        self.sum_micros
            .add(took.as_secs() * 1_000_000 + u64::from(took.subsec_micros()));
    }

    pub fn read(&self) -> HistogramTotals {
        let mut totals = HistogramTotals::default();
        for (total, bucket) in totals.buckets.iter_mut().zip(&self.buckets) {
            *total = bucket.read();
        }
        totals.sum = Duration::from_micros(self.sum_micros.read());
        totals
    }
}

/// How many are in each bucket, not accumulated, and the sum of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramTotals {
    pub buckets: [u64; BOUNDS.len() + 1],
    pub sum: Duration,
}

impl AddAssign for HistogramTotals {
    fn add_assign(&mut self, other: Self) {
        for (total, more) in self.buckets.iter_mut().zip(other.buckets) {
            *total += more;
        }
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_the_slowest_to_the_last() {
        let histogram = Histogram::default();
        let times = [
            Duration::ZERO,
            BOUNDS[0],
            BOUNDS[0] + Duration::from_nanos(1),
            Duration::from_secs(3600),
        ];
        for took in times {
            histogram.record(took);
        }
        let totals = histogram.read();
        assert_eq!(totals.buckets[..2], [2, 1]);
        assert_eq!(totals.buckets[BOUNDS.len()], 1);
        assert_eq!(totals.buckets.iter().sum::<u64>(), 4);
        assert_eq!(totals.sum.as_secs(), 3600);
    }
}
