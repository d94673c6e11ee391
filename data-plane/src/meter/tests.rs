//! Tests of the figures: sums over threads, in Prometheus' text.

use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::TextEncoder;

use super::*;
use crate::{message::Protocol, reason::Reason};

fn shown(cells: &Arc<Cells>) -> String {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .unwrap();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    cells.show(&provider.meter("test"), &registry).unwrap();
    TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap()
}

#[test]
fn threads_are_summed_and_listeners_told_apart() {
    let threads = vec![Arc::default(), Arc::default()];
    let cells = Arc::new(Cells::new(threads));
    let web = cells.listener(&"web".into());
    let admin = cells.listener(&"admin".into());
    for thread in &web {
        thread.request(Protocol::Http11, 200);
        thread.duration.record(Duration::from_millis(3));
    }
    admin[1].request(Protocol::Http2, 503);
    cells.threads[0].reason(Reason::NoRoute);
    cells.threads[1].upstream.open.add(4);
    cells.threads[1].lag.set(2_500_000);
    let text = shown(&cells);
    for line in [
        r#"roadstead_requests_total{class="2xx",listener="web",protocol="http/1.1"} 2"#,
        r#"roadstead_requests_total{class="5xx",listener="admin",protocol="http/2"} 1"#,
        r#"roadstead_requests_failed_total{reason="no-route"} 1"#,
        "roadstead_upstream_connections 4",
        "roadstead_thread_lag_seconds 2.5",
        r#"roadstead_request_duration_seconds_bucket{listener="web",le="0.0025"} 0"#,
        r#"roadstead_request_duration_seconds_bucket{listener="web",le="0.005"} 2"#,
        r#"roadstead_request_duration_seconds_bucket{listener="web",le="+Inf"} 2"#,
        r#"roadstead_request_duration_seconds_sum{listener="web"} 0.006"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
}

#[test]
fn a_listener_that_opens_again_counts_on() {
    let cells = Cells::new(vec![Arc::default()]);
    cells.listener(&"web".into())[0].connections.add(1);
    cells.listener(&"web".into())[0].connections.add(1);
    assert_eq!(cells.listeners()[0].connections, 2);
}
