//! How many replicas follow: whether another could take over at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::metrics::leadership::LeadershipMetrics;

/// The replicas that follow this one. A clone counts the same.
#[derive(Clone, Debug)]
pub struct Followers {
    count: Arc<AtomicUsize>,
    metrics: LeadershipMetrics,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Follower(Followers);

impl Followers {
    /// None yet.
    pub fn new(metrics: LeadershipMetrics) -> Self {
        let count = Arc::default();
        Self { count, metrics }
    }

    /// How many there are now.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// One more; `None` if there are too many.
    pub(super) fn join(&self) -> Option<Follower> {
        let more = |count| (count < MOST).then_some(count + 1);
        let joined = self
            .count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        joined.ok()?;
        self.metrics.follows(true);
        Some(Follower(self.clone()))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.follows(false);
    }
}

/// More than anyone runs; each reads the whole log.
const MOST: usize = 16;
