//! Traces that go on from or to another process: W3C Trace Context.
//!
//! Apart from log lines: a traffic thread makes a span only for a request that was drawn, by
//! OpenTelemetry's own means, and for all others pays one comparison, or nothing if there is
//! no collector.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, Injector, TextMapPropagator},
    trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider},
};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider, Span},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::Share;

/// Makes spans of requests.
#[derive(Clone, Debug)]
pub struct RequestTraces {
    tracer: SdkTracer,
    /// Draws below this are traced, of 2^32.
    below: u64,
}

/// What a span says of a request that was read.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub method: &'a Method,
    pub host: &'a str,
    pub path: &'a str,
    pub protocol: &'static str,
    pub listener: &'a str,
}

/// What it says of how that ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Where the request went last.
    pub upstream: Option<SocketAddr>,
    pub status: u16,
    pub sent: u64,
    /// What went wrong.
    pub reason: Option<&'static str>,
}

/// The span of a request. It ends when this is dropped.
#[derive(Debug)]
pub struct RequestSpan(Box<Span>);

impl RequestTraces {
    pub(super) fn new(provider: &SdkTracerProvider, share: Share) -> Option<Self> {
        let below = share.of(1 << 32);
        (below > 0).then(|| Self {
            tracer: provider.tracer(super::SCOPE),
            below,
        })
    }

    /// Begins the span of a request if this draw, of 2^32, has it traced, and names it to the
    /// upstream. It is part of the client's trace, if there is one; but whether it is sent is
    /// not the client's to decide.
    pub fn begin(
        &self,
        draw: u64,
        asked: &Asked<'_>,
        headers: &mut HeaderMap,
    ) -> Option<RequestSpan> {
        if draw >= self.below {
            return None;
        }
        let propagator = TraceContextPropagator::new();
        let client = propagator.extract_with_context(&Context::new(), &Fields(&*headers));
        let span = self
            .tracer
            .span_builder("request")
            .with_kind(SpanKind::Server)
            .with_attributes([
                KeyValue::new("http.request.method", asked.method.to_string()),
                KeyValue::new("server.address", asked.host.to_owned()),
                KeyValue::new("url.path", asked.path.to_owned()),
                KeyValue::new("network.protocol.name", asked.protocol),
                KeyValue::new("roadstead.listener", asked.listener.to_owned()),
            ])
            .start_with_context(&self.tracer, &client);
        let ours = Context::new().with_remote_span_context(span.span_context().clone());
        propagator.inject_context(&ours, &mut FieldsMut(headers));
        Some(RequestSpan(Box::new(span)))
    }
}

impl RequestSpan {
    /// The version that decides.
    pub fn version(&mut self, version: String) {
        let version = KeyValue::new("roadstead.version", version);
        self.0.set_attribute(version);
    }

    /// The rule that decides.
    pub fn route(&mut self, route: &str) {
        let route = KeyValue::new("roadstead.route", route.to_owned());
        self.0.set_attribute(route);
    }

    pub fn end(mut self, ended: Ended) {
        let span = &mut self.0;
        if let Some(upstream) = ended.upstream {
            span.set_attribute(KeyValue::new("roadstead.upstream", upstream.to_string()));
        }
        let status = i64::from(ended.status);
        span.set_attribute(KeyValue::new("http.response.status_code", status));
        let sent = i64::try_from(ended.sent).unwrap_or(i64::MAX);
        span.set_attribute(KeyValue::new("http.response.body.size", sent));
        if let Some(upstream) = ended.upstream {
            span.set_attribute(KeyValue::new("roadstead.upstream", upstream.to_string()));
        }
        if let Some(reason) = ended.reason {
            span.set_attribute(KeyValue::new("error.type", reason));
        }
        let is_error = StatusCode::from_u16(ended.status).is_ok_and(|s| s.is_server_error());
        if is_error {
            span.set_status(Status::error(ended.reason.unwrap_or_default()));
        }
        span.end();
    }
}

/// Makes a span of the control thread part of the trace that is named by a `traceparent`.
pub fn follow(span: &tracing::Span, parent: &str) {
    if span.is_disabled() {
        return;
    }
    let parent = HeaderValue::from_str(parent).map(|parent| (TRACE_PARENT, parent));
    let fields = HeaderMap::from_iter(parent);
    let propagator = TraceContextPropagator::new();
    let context = propagator.extract_with_context(&Context::new(), &Fields(&fields));
    // It fails only for a span that no collector hears of.
    let _unheard = span.set_parent(context);
}

struct Fields<'a>(&'a HeaderMap);

impl Extractor for Fields<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct FieldsMut<'a>(&'a mut HeaderMap);

impl Injector for FieldsMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::from_bytes(key.as_bytes());
        // A trace state that is empty is none.
        if let (Ok(name), Ok(value), false) =
            (name, HeaderValue::from_str(&value), value.is_empty())
        {
            self.0.insert(name, value);
        }
    }
}

const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

#[cfg(test)]
mod tests;
