//! Instruments of the streams to proxies, and of calls that are refused.
//!
//! Apart, because they answer one question: does what is served arrive?

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};
use tokio::sync::watch;

use crate::presence::Presence;
use crate::snapshot::publication::Publication;

/// What the gRPC side records.
#[derive(Clone, Debug)]
pub struct StreamMetrics {
    ended: Counter<u64>,
    transfers: Counter<u64>,
    bytes: Counter<u64>,
    acks: Counter<u64>,
    nacks: Counter<u64>,
    differences: Counter<u64>,
    ack: Histogram<f64>,
    calls_refused: Counter<u64>,
}

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The proxy ended it, or its connection broke.
    Proxy,
    /// A newer stream took the proxy's name.
    Replaced,
    /// The control plane stops.
    Shutdown,
    /// Another replica leads, or this one no longer does.
    Role,
    /// Something did not come in time.
    Timeout,
    /// Its certificate ended.
    Expired,
    /// The proxy called itself other than its certificate does, or as one that has a certificate.
    OtherName,
    /// The proxy did not keep to the protocol, or refused too often.
    Protocol,
}

/// How much of a snapshot a transfer covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What changed since the last acknowledgement.
    Delta,
    /// The buckets that differ.
    Buckets,
    /// Everything.
    Whole,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It bears no token.
    NoToken,
    /// Its token is nobody's.
    UnknownToken,
    /// Its token, or its certificate, is for other calls.
    OtherRole,
    /// Its connection has no certificate, or one that has ended.
    NoCertificate,
    /// Its account lacks the right.
    Forbidden,
    /// The API server could not be asked about its token.
    NotReviewed,
    /// There are too many like it.
    TooMany,
}

impl StreamMetrics {
    /// Registers the instruments, and those of presence.
    pub fn new(
        meter: &Meter,
        presence: watch::Receiver<Presence>,
        newest: watch::Receiver<Arc<Publication>>,
    ) -> Self {
        observe_presence(meter, presence, newest);
        let counter = |name, description| {
            let counter = meter.u64_counter(name);
            counter.with_description(description).build()
        };
        Self {
            ended: counter("roadstead.streams", "Streams of proxies that ended."),
            transfers: counter("roadstead.transfers", "Transfers to proxies."),
            bytes: meter
                .u64_counter("roadstead.transfer")
                .with_unit("By")
                .with_description("Bytes of transfers to proxies.")
                .build(),
            acks: counter("roadstead.acks", "Acknowledgements of transfers."),
            nacks: counter("roadstead.nacks", "Transfers that a proxy could not use."),
            differences: counter(
                "roadstead.differences",
                "Times that a proxy held something else than it had acknowledged.",
            ),
            ack: super::seconds(
                meter,
                "roadstead.ack",
                "From the end of a transfer to its acknowledgement.",
            ),
            calls_refused: counter(
                "roadstead.calls.refused",
                "Calls that were not let through.",
            ),
        }
    }

    /// A stream ended.
    pub fn ended(&self, end: End) {
        let end = match end {
            End::Proxy => "proxy",
            End::Replaced => "replaced",
            End::Shutdown => "shutdown",
            End::Role => "role",
            End::Timeout => "timeout",
            End::Expired => "expired",
            End::OtherName => "other_name",
            End::Protocol => "protocol",
        };
        self.ended.add(1, &[KeyValue::new("end", end)]);
    }

    /// A transfer was handed over.
    pub fn transferred(&self, scope: Scope, bytes: usize) {
        let scope = match scope {
            Scope::Delta => "delta",
            Scope::Buckets => "buckets",
            Scope::Whole => "whole",
        };
        self.transfers.add(1, &[KeyValue::new("scope", scope)]);
        self.bytes
            .add(u64::try_from(bytes).unwrap_or(u64::MAX), &[]);
    }

    /// A transfer was acknowledged.
    pub fn acknowledged(&self, after: Duration) {
        self.acks.add(1, &[]);
        self.ack.record(after.as_secs_f64(), &[]);
    }

    /// A transfer was refused.
    pub fn refused(&self) {
        self.nacks.add(1, &[]);
    }

    /// A proxy holds something else than it acknowledged.
    pub fn differed(&self) {
        self.differences.add(1, &[]);
    }

    /// A call was refused.
    pub fn call_refused(&self, cause: Refused) {
        let cause = match cause {
            Refused::NoToken => "no_token",
            Refused::UnknownToken => "unknown_token",
            Refused::OtherRole => "other_role",
            Refused::NoCertificate => "no_certificate",
            Refused::Forbidden => "forbidden",
            Refused::NotReviewed => "not_reviewed",
            Refused::TooMany => "too_many",
        };
        self.calls_refused.add(1, &[KeyValue::new("cause", cause)]);
    }
}

fn observe_presence(
    meter: &Meter,
    presence: watch::Receiver<Presence>,
    newest: watch::Receiver<Arc<Publication>>,
) {
    meter
        .u64_observable_gauge("roadstead.proxies")
        .with_description("Connected proxies that hold the version served now, or do not yet.")
        .with_callback(move |observer| {
            let version = newest.borrow().snapshot().version();
            let presence = presence.borrow().clone();
            let holds = |version_held: Option<_>| version_held == Some(version);
            let acknowledged = presence.proxies().map(|proxy| proxy.acknowledged);
            let current = acknowledged.filter(|ack| holds(ack.map(|ack| ack.version)));
            let current = u64::try_from(current.count()).unwrap_or(u64::MAX);
            let all = u64::try_from(presence.len()).unwrap_or(u64::MAX);
            observer.observe(current, &[KeyValue::new("state", "current")]);
            let behind = all.saturating_sub(current);
            observer.observe(behind, &[KeyValue::new("state", "behind")]);
        })
        .build();
}
