//! Counters and gauges, as instruments that read the cells when they are asked.
//!
//! Apart from durations: there is no instrument that takes a histogram which was counted
//! elsewhere.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use super::Cells;
use crate::metrics::{CLASSES, Handshake, ListenerTotals, ThreadTotals};
use crate::protocol::{BadHeader, Protocol};
use crate::reason::Reason;

pub(super) fn show(cells: &Arc<Cells>, meter: &Meter) {
    show_requests(cells, meter);
    show_failures(cells, meter);
    show_handshakes(cells, meter);
    show_bad_headers(cells, meter);
    for (name, description, read) in THREAD_COUNTERS {
        let cells = cells.clone();
        meter
            .u64_observable_counter(*name)
            .with_description(*description)
            .with_callback(move |instrument| instrument.observe(read(&cells.read()), &[]))
            .build();
    }
    for (name, description, read) in THREAD_GAUGES {
        let cells = cells.clone();
        meter
            .f64_observable_gauge(*name)
            .with_description(*description)
            .with_callback(move |instrument| instrument.observe(read(&cells.read()), &[]))
            .build();
    }
    for (name, description, read) in LISTENER_COUNTERS {
        let cells = cells.clone();
        let each = move |instrument: &dyn AsyncInstrument<u64>| {
            for (name, totals) in cells.read().listeners {
                instrument.observe(read(&totals), &[listener(&name)]);
            }
        };
        let counter = meter.u64_observable_counter(*name);
        let counter = counter.with_description(*description);
        counter.with_callback(each).build();
    }
    for (name, description, read) in LISTENER_GAUGES {
        let cells = cells.clone();
        let each = move |instrument: &dyn AsyncInstrument<i64>| {
            for (name, totals) in cells.read().listeners {
                instrument.observe(read(&totals), &[listener(&name)]);
            }
        };
        let gauge = meter.i64_observable_gauge(*name);
        let gauge = gauge.with_description(*description);
        gauge.with_callback(each).build();
    }
}

fn show_requests(cells: &Arc<Cells>, meter: &Meter) {
    let cells = cells.clone();
    meter
        .u64_observable_counter("roadstead_requests")
        .with_description("Requests that were answered, by listener, protocol and class of status")
        .with_callback(move |instrument| {
            for (name, totals) in cells.read().listeners {
                for (protocol, classes) in Protocol::ALL.iter().zip(totals.requests) {
                    for (class, count) in CLASSES.iter().zip(classes) {
                        let protocol = KeyValue::new("protocol", protocol.as_str());
                        let class = KeyValue::new("class", *class);
                        instrument.observe(count, &[listener(&name), protocol, class]);
                    }
                }
            }
        })
        .build();
}

fn show_failures(cells: &Arc<Cells>, meter: &Meter) {
    let cells = cells.clone();
    meter
        .u64_observable_counter("roadstead_requests_failed")
        .with_description("Requests that did not get an upstream's whole answer, by reason")
        .with_callback(move |instrument| {
            for (reason, count) in Reason::ALL.iter().zip(cells.read().reasons) {
                instrument.observe(count, &[KeyValue::new("reason", reason.as_str())]);
            }
        })
        .build();
}

fn show_handshakes(cells: &Arc<Cells>, meter: &Meter) {
    let cells = cells.clone();
    meter
        .u64_observable_counter("roadstead_tls_handshakes")
        .with_description("TLS handshakes of clients, by how they ended")
        .with_callback(move |instrument| {
            for (end, count) in Handshake::ALL.iter().zip(cells.read().handshakes) {
                instrument.observe(count, &[KeyValue::new("result", end.as_str())]);
            }
        })
        .build();
}

fn show_bad_headers(cells: &Arc<Cells>, meter: &Meter) {
    let cells = cells.clone();
    meter
        .u64_observable_counter("roadstead_proxy_headers_refused")
        .with_description(
            "Connections that were closed because they did not begin with a header of the PROXY \
             protocol, by listener and reason",
        )
        .with_callback(move |instrument| {
            for (name, totals) in cells.read().listeners {
                for (bad, count) in BadHeader::ALL.iter().zip(totals.bad_headers) {
                    let reason = KeyValue::new("reason", bad.as_str());
                    instrument.observe(count, &[listener(&name), reason]);
                }
            }
        })
        .build();
}

pub(super) fn listener(name: &Arc<str>) -> KeyValue {
    KeyValue::new("listener", name.clone())
}

type Shown<Totals, Value> = (&'static str, &'static str, fn(&Totals) -> Value);

const THREAD_COUNTERS: &[Shown<ThreadTotals, u64>] = &[
    (
        "roadstead_upstream_connects",
        "Connections to upstreams that were opened",
        |totals| totals.upstream_connects,
    ),
    (
        "roadstead_upstream_connect_failures",
        "Connections to upstreams that could not be opened",
        |totals| totals.upstream_connect_failures,
    ),
    (
        "roadstead_upstream_reuses",
        "Requests sent on a connection that had served before",
        |totals| totals.upstream_reused,
    ),
    (
        "roadstead_upstream_retries",
        "Requests sent once more, to another endpoint or on a fresh connection",
        |totals| totals.upstream_retries,
    ),
    (
        "roadstead_challenges_answered",
        "Questions of a CA, whether a host is ours, that were answered",
        |totals| totals.challenges,
    ),
    (
        "roadstead_panics",
        "Connections that ended by a panic",
        |totals| totals.panics,
    ),
    (
        "roadstead_access_log_lines_dropped",
        "Lines of the access log that found its buffers full",
        |totals| totals.log_lines_dropped,
    ),
    (
        "roadstead_connections_shed",
        "Connections closed on arrival because there were too many",
        |totals| totals.connections_shed,
    ),
    (
        "roadstead_connections_given",
        "Connections that the thread which accepted them gave to one with fewer",
        |totals| totals.connections_given,
    ),
];

const THREAD_GAUGES: &[Shown<ThreadTotals, f64>] = &[
    (
        "roadstead_upstream_connections",
        "Connections to upstreams that are open",
        |totals| totals.upstream_open as f64,
    ),
    (
        "roadstead_thread_lag_seconds",
        "How late the last tick of the slowest traffic thread came",
        |totals| totals.lag as f64 / 1e6,
    ),
    (
        "roadstead_thread_lag_max_seconds",
        "The longest that a tick of any traffic thread came late",
        |totals| totals.lag_max as f64 / 1e6,
    ),
];

const LISTENER_COUNTERS: &[Shown<ListenerTotals, u64>] = &[
    (
        "roadstead_connections",
        "Connections that were accepted, by listener",
        |totals| totals.connections,
    ),
    (
        "roadstead_request_bytes",
        "Bytes of request bodies, by listener",
        |totals| totals.received,
    ),
    (
        "roadstead_response_bytes",
        "Bytes of response bodies, by listener",
        |totals| totals.sent,
    ),
];

const LISTENER_GAUGES: &[Shown<ListenerTotals, i64>] = &[
    (
        "roadstead_connections_open",
        "Connections of clients that are open, by listener",
        |totals| totals.connections_open,
    ),
    (
        "roadstead_tunnels_open",
        "Upgraded connections that are open, by listener",
        |totals| totals.tunnels_open,
    ),
];
