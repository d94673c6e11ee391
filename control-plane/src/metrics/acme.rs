//! Instruments of who obtains certificates.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge, Meter};

use crate::plan::issuance::scheduler::Tally;

/// What an issuer records.
#[derive(Clone, Debug)]
pub struct AcmeMetrics {
    certificates: Gauge<u64>,
    expiry: Gauge<i64>,
    calls: Counter<u64>,
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
