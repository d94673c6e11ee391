//! Instruments of the bundles of chain and private key: what is held, and what is given of it.
//!
//! Numbers only: no name of a bundle is a label.

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Meter};

/// What is recorded of them.
#[derive(Clone, Debug)]
pub struct SecretMetrics {
    calls: Counter<u64>,
    given: Counter<u64>,
}

/// What became of a call for secrets that was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Answered,
    /// There were too many at once.
    Busy,
    /// It asked for too many, or for what has no name.
    Malformed,
}

impl SecretMetrics {
    /// Registers the instruments; `count` says how many bundles are held, and how many are missing.
    pub fn new(meter: &Meter, count: impl Fn() -> (usize, usize) + Send + Sync + 'static) -> Self {
        meter
            .u64_observable_gauge("roadstead.secrets.bundles")
            .with_description(
                "Certificates with their keys that this replica holds, or that are referred to \
                 and missing here.",
            )
            .with_callback(move |observer| {
                let (held, missing) = count();
                for (state, number) in [("held", held), ("missing", missing)] {
                    let number = u64::try_from(number).unwrap_or(u64::MAX);
                    observer.observe(number, &[KeyValue::new("state", state)]);
                }
            })
            .build();
        let counter = |name, description| {
            let counter = meter.u64_counter(name);
            counter.with_description(description).build()
        };
        Self {
            calls: counter(
                "roadstead.secrets.calls",
                "Calls of proxies and replicas for secrets.",
            ),
            given: counter(
                "roadstead.secrets.asked",
                "Secrets that were asked for, by whether they were given.",
            ),
        }
    }

    /// There was a call.
    pub fn called(&self, call: Call) {
        let outcome = match call {
            Call::Answered => "answered",
            Call::Busy => "busy",
            Call::Malformed => "malformed",
        };
        self.calls.add(1, &[KeyValue::new("outcome", outcome)]);
    }

    /// A secret was asked for, and given or not.
    pub fn gave(&self, given: bool) {
        let outcome = if given { "given" } else { "missing" };
        self.given.add(1, &[KeyValue::new("outcome", outcome)]);
    }
}
