//! Instruments of who obtains certificates.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use crate::model::time::Timestamp;

/// What an issuer records.
#[derive(Clone, Debug)]
pub struct AcmeMetrics {
    certificates: Gauge<u64>,
    expiry: Gauge<i64>,
    calls: Counter<u64>,
}

/// How many certificates are in which state: one may be in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// There is a certificate.
    pub issued: usize,
    /// An order is under way.
    pub ordered: usize,
    /// The last order came to nothing.
    pub failing: usize,
    /// An order waits for the proxies to answer.
    pub at_barrier: usize,
    /// An order waits for its turn, and for the CA's limits.
    pub queued: usize,
    /// When the first of those that there are expires.
    pub expires: Option<Timestamp>,
}

impl AcmeMetrics {
    /// Registers the instruments.
    pub fn new(meter: &Meter) -> Self {
        Self {
            certificates: meter
                .u64_gauge("roadstead.acme.certificates")
                .with_description(
                    "Certificates that are obtained: issued, ordered, failing, at_barrier (an \
                     order waits for proxies), queued (an order waits for the CA's limits).",
                )
                .build(),
            expiry: meter
                .i64_gauge("roadstead.acme.first_expiry")
                .with_unit("s")
                .with_description(
                    "When the first of the certificates that were obtained expires, in seconds \
                     since 1970; 0 without any.",
                )
                .build(),
            calls: meter
                .u64_counter("roadstead.acme.calls")
                .with_description("Calls to the CA, by what was asked and what came of it.")
                .build(),
        }
    }

    /// So many there are.
    pub fn tally(&self, tally: &Tally) {
        let Tally {
            issued,
            ordered,
            failing,
            at_barrier,
            queued,
            expires,
        } = *tally;
        for (state, count) in [
            ("issued", issued),
            ("ordered", ordered),
            ("failing", failing),
            ("at_barrier", at_barrier),
            ("queued", queued),
        ] {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.certificates
                .record(count, &[KeyValue::new("state", state)]);
        }
        let (seconds, _) = expires.unwrap_or_default().parts();
        self.expiry.record(seconds, &[]);
    }

    /// The CA was asked this, and that came of it.
    pub fn called(&self, call: &'static str, outcome: &'static str) {
        let labels = [
            KeyValue::new("call", call),
            KeyValue::new("outcome", outcome),
        ];
        self.calls.add(1, &labels);
    }
}
