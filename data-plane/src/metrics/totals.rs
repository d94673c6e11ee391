//! What has been counted so far, as plain numbers that can be summed over threads.
//!
//! Apart from the cells, so that whoever shows the figures has nothing to do with atomics.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    ops::AddAssign,
    sync::Arc,
};

use super::{CLASSES, Handshake, HistogramTotals, ListenerMetrics, ThreadMetrics};
use crate::protocol::{BadHeader, Protocol};
use crate::reason::Reason;

/// Of one thread, or of several summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ThreadTotals {
    /// In the order of [`Reason::ALL`].
    pub reasons: [u64; Reason::ALL.len()],
    pub upstream_connects: u64,
    pub upstream_connect_failures: u64,
    pub upstream_open: i64,
    pub upstream_reused: u64,
    pub upstream_retries: u64,
    /// In the order of [`Handshake::ALL`].
    pub handshakes: [u64; Handshake::ALL.len()],
    pub handshake_duration: HistogramTotals,
    pub challenges: u64,
    pub panics: u64,
    pub log_lines_dropped: u64,
    pub connections_shed: u64,
    pub connections_given: u64,
    /// The latest of the threads, in microseconds.
    pub lag: i64,
    pub lag_max: i64,
    /// By name.
    pub listeners: BTreeMap<Arc<str>, ListenerTotals>,
}

impl ThreadMetrics {
    pub fn read(&self) -> ThreadTotals {
        ThreadTotals {
            reasons: self.reasons.each_ref().map(super::Counter::read),
            upstream_connects: self.upstream.connects.read(),
            upstream_connect_failures: self.upstream.connect_failures.read(),
            upstream_open: self.upstream.open.read(),
            upstream_reused: self.upstream.reused.read(),
            upstream_retries: self.upstream.retries.read(),
            handshakes: self.handshakes.ends.each_ref().map(super::Counter::read),
            handshake_duration: self.handshakes.duration.read(),
            challenges: self.challenges.read(),
            panics: self.panics.read(),
            log_lines_dropped: self.log_lines_dropped.read(),
            connections_shed: self.connections_shed.read(),
            connections_given: self.connections_given.read(),
            lag: self.lag.read(),
            lag_max: self.lag_max.read(),
            listeners: self
                .listeners
                .load()
                .iter()
                .map(|listener| (Arc::clone(&listener.name), listener.read()))
                .collect(),
        }
    }
}

impl AddAssign for ThreadTotals {
    fn add_assign(&mut self, other: Self) {
        for (total, more) in self.reasons.iter_mut().zip(other.reasons) {
            *total += more;
        }
        self.upstream_connects += other.upstream_connects;
        self.upstream_connect_failures += other.upstream_connect_failures;
        self.upstream_open += other.upstream_open;
        self.upstream_reused += other.upstream_reused;
        self.upstream_retries += other.upstream_retries;
        for (total, more) in self.handshakes.iter_mut().zip(other.handshakes) {
            *total += more;
        }
        self.handshake_duration += other.handshake_duration;
        self.challenges += other.challenges;
        self.panics += other.panics;
        self.log_lines_dropped += other.log_lines_dropped;
        self.connections_shed += other.connections_shed;
        self.connections_given += other.connections_given;
        self.lag = self.lag.max(other.lag);
        self.lag_max = self.lag_max.max(other.lag_max);
        for (name, more) in other.listeners {
            match self.listeners.entry(name) {
                Entry::Vacant(entry) => drop(entry.insert(more)),
                Entry::Occupied(mut entry) => *entry.get_mut() += more,
            }
        }
    }
}

/// Of one listener.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerTotals {
    pub connections: u64,
    pub connections_open: i64,
    /// In the order of [`BadHeader::ALL`].
    pub bad_headers: [u64; BadHeader::ALL.len()],
    /// By protocol, in the order of [`Protocol::ALL`], and class, in that of [`CLASSES`].
    pub requests: [[u64; CLASSES.len()]; Protocol::ALL.len()],
    pub duration: HistogramTotals,
    pub received: u64,
    pub sent: u64,
    pub tunnels_open: i64,
}

impl ListenerMetrics {
    pub fn read(&self) -> ListenerTotals {
        ListenerTotals {
            connections: self.connections.read(),
            connections_open: self.connections_open.read(),
            bad_headers: self.bad_headers.each_ref().map(super::Counter::read),
            requests: self
                .requests
                .each_ref()
                .map(|classes| classes.each_ref().map(super::Counter::read)),
            duration: self.duration.read(),
            received: self.received.read(),
            sent: self.sent.read(),
            tunnels_open: self.tunnels_open.read(),
        }
    }
}

/// Adds the figures of another thread for the same listener.
impl AddAssign for ListenerTotals {
    fn add_assign(&mut self, other: Self) {
        self.connections += other.connections;
        self.connections_open += other.connections_open;
        for (total, more) in self.bad_headers.iter_mut().zip(other.bad_headers) {
            *total += more;
        }
        for (totals, more) in self.requests.iter_mut().zip(other.requests) {
            for (total, more) in totals.iter_mut().zip(more) {
                *total += more;
            }
        }
        self.duration += other.duration;
        self.received += other.received;
        self.sent += other.sent;
        self.tunnels_open += other.tunnels_open;
    }
}
