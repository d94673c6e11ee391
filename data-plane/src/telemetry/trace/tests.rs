use opentelemetry_sdk::trace::SpanExporter;

use super::*;

/// Takes spans and keeps none.
#[derive(Debug)]
struct Nobody;

impl SpanExporter for Nobody {
    async fn export(
        &self,
        _: Vec<opentelemetry_sdk::trace::SpanData>,
    ) -> opentelemetry_sdk::error::OTelSdkResult {
        Ok(())
    }
}

const CLIENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn traces(share: f64) -> Option<RequestTraces> {
    let provider = SdkTracerProvider::builder()
        .with_sampler(opentelemetry_sdk::trace::Sampler::AlwaysOn)
        .with_simple_exporter(Nobody);
    RequestTraces::new(&provider.build(), Share::try_from(share).unwrap())
}

/// What the upstream is told when the client told this.
fn passed_on(traces: &RequestTraces, draw: u64, told: Option<&'static str>) -> Option<String> {
    let told = told.map(|told| (TRACE_PARENT, HeaderValue::from_static(told)));
    let mut headers = HeaderMap::from_iter(told);
    let asked = Asked {
        method: &Method::GET,
        host: "a.example",
        path: "/",
        protocol: "h1",
        listener: "http",
    };
    drop(traces.begin(draw, &asked, &mut headers));
    assert!(!headers.contains_key("tracestate"));
    let parent = headers.get(TRACE_PARENT)?;
    Some(parent.to_str().unwrap().to_owned())
}

#[test]
fn a_request_that_is_not_drawn_is_passed_on_as_it_came() {
    assert!(traces(0.0).is_none());
    let traces = traces(0.25).unwrap();
    assert_eq!(
        passed_on(&traces, 1 << 30, Some(CLIENT)).as_deref(),
        Some(CLIENT)
    );
    assert_eq!(passed_on(&traces, (1 << 32) - 1, None), None);
    assert_ne!(
        passed_on(&traces, (1 << 30) - 1, Some(CLIENT)).as_deref(),
        Some(CLIENT)
    );
}

#[test]
fn the_upstream_is_told_of_our_span_in_the_clients_trace() {
    let traces = traces(1.0).unwrap();
    let passed = passed_on(&traces, (1 << 32) - 1, Some(CLIENT)).unwrap();
    let (ours, theirs): (Vec<&str>, Vec<&str>) =
        (passed.split('-').collect(), CLIENT.split('-').collect());
    assert_eq!(ours[1], theirs[1]);
    assert_ne!(ours[2], theirs[2]);
    assert_eq!(ours[3], "01");
}

#[test]
fn what_is_no_trace_begins_one() {
    let traces = traces(1.0).unwrap();
    for told in [None, Some("00-0-0-01"), Some("nonsense")] {
        let passed = passed_on(&traces, 0, told).unwrap();
        let parts: Vec<&str> = passed.split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2]
        );
        assert_ne!(parts[1], "0".repeat(32));
    }
}
