//! What the control side counts.
//!
//! Apart from the traffic threads' cells: these change seldom, so that plain instruments do.

use std::time::Duration;

use jiff::Timestamp;
use opentelemetry::{
    KeyValue,
    metrics::{Counter, Gauge, Histogram, Meter},
};

use crate::report::Report;
use crate::snapshot::{Reason, Refusal};

#[derive(Clone, Debug)]
pub struct Metrics {
    connected: Gauge<u64>,
    connects: Counter<u64>,
    applied: Counter<u64>,
    apply_time: Histogram<f64>,
    refused: Counter<u64>,
    faults: Gauge<u64>,
    epoch: Gauge<u64>,
    seq: Gauge<u64>,
    resources: Gauge<u64>,
    certificates: Counter<u64>,
    certificate_until: Gauge<i64>,
    bundles: Counter<u64>,
    challenges: Counter<u64>,
}

impl Metrics {
    pub fn new(meter: &Meter) -> Self {
        let gauge = |name, description| {
            let builder = meter.u64_gauge(name);
            builder.with_description(description).build()
        };
        let counter = |name, description| {
            let builder = meter.u64_counter(name);
            builder.with_description(description).build()
        };
        Self {
            connected: gauge(
                "roadstead_control_plane_connected",
                "1 while a stream to the control plane is open",
            ),
            connects: counter(
                "roadstead_control_plane_connects",
                "Attempts to reach the control plane, by result",
            ),
            applied: counter(
                "roadstead_transfers_applied",
                "Transfers that went live, by what they changed",
            ),
            apply_time: meter
                .f64_histogram("roadstead_apply_duration")
                .with_unit("s")
                .with_description("From a whole transfer to every thread serving by it")
                .with_boundaries(vec![
                    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5,
                ])
                .build(),
            refused: counter(
                "roadstead_transfers_refused",
                "Transfers that were not used, by reason",
            ),
            faults: gauge(
                "roadstead_resource_faults",
                "Resources that this proxy cannot use as they were told, by reason",
            ),
            epoch: gauge(
                "roadstead_version_epoch",
                "Epoch of the version that is live",
            ),
            seq: gauge(
                "roadstead_version_seq",
                "Sequence number of the version that is live",
            ),
            resources: gauge("roadstead_resources", "What the live version has, by kind"),
            certificates: counter(
                "roadstead_certificate_requests",
                "Requests for a certificate of this proxy, by result",
            ),
            certificate_until: meter
                .i64_gauge("roadstead_certificate_until")
                .with_unit("s")
                .with_description("When the certificate of this proxy ends, in Unix time")
                .build(),
            bundles: counter(
                "roadstead_bundles_asked",
                "Chains and keys of certificates that the control plane was asked for, by result",
            ),
            challenges: counter(
                "roadstead_challenges_asked",
                "Challenges that no version had brought and that the control plane was asked for, \
                 by result",
            ),
        }
    }

    pub(super) fn connect_failed(&self) {
        self.connects.add(1, &[KeyValue::new("result", "failed")]);
    }

    pub(super) fn connected(&self) {
        self.connects.add(1, &[KeyValue::new("result", "open")]);
        self.connected.record(1, &[]);
    }

    pub(super) fn disconnected(&self) {
        self.connected.record(0, &[]);
    }

    pub(super) fn certificate(&self, given: bool) {
        let result = if given { "given" } else { "failed" };
        self.certificates.add(1, &[KeyValue::new("result", result)]);
    }

    pub(super) fn certificate_until(&self, end: Timestamp) {
        self.certificate_until.record(end.as_second(), &[]);
    }

    pub(super) fn bundles(&self, given: usize, missing: usize) {
        for (result, count) in [("given", given), ("missing", missing)] {
            let result = [KeyValue::new("result", result)];
            self.bundles.add(count as u64, &result);
        }
    }

    pub(super) fn challenge(&self, result: &'static str) {
        self.challenges.add(1, &[KeyValue::new("result", result)]);
    }

    pub(super) fn applied(&self, is_new: bool, time: Duration) {
        let what = if is_new { "configuration" } else { "endpoints" };
        let what = [KeyValue::new("changed", what)];
        self.applied.add(1, &what);
        self.apply_time.record(time.as_secs_f64(), &what);
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        let reason = KeyValue::new("reason", refusal.reason());
        self.refused.add(1, &[reason]);
    }

    pub(super) fn report(&self, report: &Report) {
        for reason in Reason::ALL {
            let of_reason = report.faults.values().filter(|f| f.reason == reason);
            let label = KeyValue::new("reason", reason.as_str());
            self.faults.record(of_reason.count() as u64, &[label]);
        }
        if let Some(version) = &report.version {
            self.epoch.record(version.epoch, &[]);
            self.seq.record(version.seq, &[]);
        }
        for (kind, count) in [
            ("route", report.routes),
            ("upstream", report.upstreams),
            ("certificate", report.certificates),
            ("listener", report.listeners),
        ] {
            self.resources
                .record(count as u64, &[KeyValue::new("kind", kind)]);
        }
    }
}
