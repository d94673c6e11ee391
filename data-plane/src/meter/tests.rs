//! Tests of the figures: sums over threads, in Prometheus' text.

use std::time::Duration;

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::TextEncoder;

use super::*;
use crate::protocol::Protocol;
use crate::reason::Reason;

fn shown(show: impl FnOnce(&Meter, &Registry)) -> String {
    let registry = Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .scope_info_enabled(false)
        .build()
        .unwrap();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    show(&provider.meter("test"), &registry);
    TextEncoder::new()
        .encode_to_string(&registry.gather())
        .unwrap()
}

#[test]
fn threads_are_summed_and_listeners_told_apart() {
    let threads: [Arc<ThreadMetrics>; 2] = [Arc::default(), Arc::default()];
    for thread in &threads {
        let web = thread.add_listener(&"web".into());
        web.request(Protocol::Http11, 200);
        web.duration.record(Duration::from_millis(3));
    }
    let admin = threads[1].add_listener(&"admin".into());
    admin.request(Protocol::Http2, 503);
    threads[0].reason(Reason::NoRoute);
    threads[1].upstream.open.add(4);
    threads[1].lag.set(2_500_000);
    let cells = Cells::new(threads.to_vec());
    let text = shown(|meter, registry| cells.show(meter, registry, None).unwrap());
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
fn durations_are_pushed_as_the_buckets_that_are_scraped() {
    let thread = Arc::<ThreadMetrics>::default();
    let web = thread.add_listener(&"web".into());
    for millis in [3, 4, 60_000] {
        web.duration.record(Duration::from_millis(millis));
    }
    let cells = Cells::new(vec![thread]);
    let text = shown(|meter, _| pushed::show(&cells, meter));
    for line in [
        r#"roadstead_request_duration_seconds_bucket_total{le="0.0025",listener="web"} 0"#,
        r#"roadstead_request_duration_seconds_bucket_total{le="0.005",listener="web"} 2"#,
        r#"roadstead_request_duration_seconds_bucket_total{le="+Inf",listener="web"} 3"#,
        r#"roadstead_request_duration_seconds_count_total{listener="web"} 3"#,
        r#"roadstead_request_duration_seconds_sum_total{listener="web"} 60.007"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
}
