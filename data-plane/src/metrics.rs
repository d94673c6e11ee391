//! What the traffic threads count: plain cells, one set per thread.
//!
//! Apart from how they are shown: a thread adds to its own cells without any contention, and
//! the control thread reads and sums them when somebody asks.

mod cell;
mod handshake;
mod histogram;
mod totals;

use std::sync::Arc;

use arc_swap::ArcSwap;

pub use cell::{Counter, Gauge};
pub use handshake::Handshake;
pub use histogram::{BOUNDS, Histogram, HistogramTotals};
pub use totals::{ListenerTotals, ThreadTotals};

use crate::protocol::{BadHeader, Protocol};
use crate::reason::Reason;

/// What one thread counts. Only that thread writes.
#[derive(Debug, Default)]
pub struct ThreadMetrics {
    /// Requests that did not get an upstream's whole answer.
    reasons: [Counter; Reason::ALL.len()],
    pub upstream: UpstreamMetrics,
    pub handshakes: HandshakeMetrics,
    /// Questions of a CA, whether a host is ours, that were answered here.
    pub challenges: Counter,
    /// Tasks that ended by a panic.
    pub panics: Counter,
    /// Lines of the access log that found its buffers full.
    pub log_lines_dropped: Counter,
    /// Connections closed on arrival because there were too many.
    pub connections_shed: Counter,
    /// Connections accepted here and given to another thread.
    pub connections_given: Counter,
    /// The longest that a tick came late since the thread began, in microseconds.
    pub lag_max: Gauge,
    /// How late the last tick came, in microseconds.
    pub lag: Gauge,
    /// Every listener that this thread has ever opened.
    listeners: ArcSwap<Vec<Arc<ListenerMetrics>>>,
}

impl ThreadMetrics {
    pub fn reason(&self, reason: Reason) {
        if let Some(counter) = self.reasons.get(reason as usize) {
            counter.add(1);
        }
    }

    /// The figures of the listener of this name, which go on if it was closed meanwhile.
    pub fn add_listener(&self, name: &Arc<str>) -> Arc<ListenerMetrics> {
        let known = self.listeners.load();
        if let Some(metrics) = known.iter().find(|metrics| metrics.name == *name) {
            return Arc::clone(metrics);
        }
        let metrics = Arc::new(ListenerMetrics::new(Arc::clone(name)));
        let mut listeners = Vec::clone(&known);
        listeners.push(Arc::clone(&metrics));
        self.listeners.store(Arc::new(listeners));
        metrics
    }
}

#[derive(Debug, Default)]
pub struct UpstreamMetrics {
    pub connects: Counter,
    pub connect_failures: Counter,
    /// Connections that are open, in use or not, or being made.
    pub open: Gauge,
    /// Requests sent on a connection that had served before.
    pub reused: Counter,
    /// Requests sent once more, to another endpoint or on a fresh connection.
    pub retries: Counter,
}

/// Handshakes of clients by TLS.
#[derive(Debug, Default)]
pub struct HandshakeMetrics {
    ends: [Counter; Handshake::ALL.len()],
    /// Of those that succeeded.
    pub duration: Histogram,
}

impl HandshakeMetrics {
    pub fn ended(&self, end: Handshake) {
        if let Some(counter) = self.ends.get(end as usize) {
            counter.add(1);
        }
    }
}

/// What one thread counts for one listener.
#[derive(Debug)]
pub struct ListenerMetrics {
    pub name: Arc<str>,
    pub connections: Counter,
    pub connections_open: Gauge,
    /// Connections closed because their PROXY header was not one, by why.
    bad_headers: [Counter; BadHeader::ALL.len()],
    /// By protocol and by class of the status.
    requests: [[Counter; CLASSES.len()]; Protocol::ALL.len()],
    pub duration: Histogram,
    /// Bytes of request bodies.
    pub received: Counter,
    /// Bytes of response bodies.
    pub sent: Counter,
    /// Connections upgraded and not yet closed.
    pub tunnels_open: Gauge,
}

impl ListenerMetrics {
    pub fn new(name: Arc<str>) -> Self {
        Self {
            name,
            connections: Counter::default(),
            connections_open: Gauge::default(),
            bad_headers: <[Counter; BadHeader::ALL.len()]>::default(),
            requests: <[[Counter; CLASSES.len()]; Protocol::ALL.len()]>::default(),
            duration: Histogram::default(),
            received: Counter::default(),
            sent: Counter::default(),
            tunnels_open: Gauge::default(),
        }
    }

    pub fn bad_header(&self, bad: BadHeader) {
        if let Some(counter) = self.bad_headers.get(bad as usize) {
            counter.add(1);
        }
    }

    pub fn request(&self, protocol: Protocol, status: u16) {
        let class = usize::from(status / 100).saturating_sub(1);
        let cell = self
            .requests
            .get(protocol as usize)
            .and_then(|classes| classes.get(class));
        if let Some(counter) = cell {
            counter.add(1);
        }
    }
}

/// Classes of a status, in the order of their cells.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
