//! How a trace goes on in another process: W3C Trace Context, as one line of text.
//!
//! The one from a change to the proxies' acknowledgements begins with a turn of the engine and
//! travels with the publication.

#![expect(
    clippy::disallowed_types,
    reason = "OpenTelemetry carries fields in a HashMap"
)]

use std::collections::HashMap;

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The `traceparent` of the span that this thread is in; none if no collector hears of it.
pub fn parent() -> Option<Box<str>> {
    let context = Span::current().context();
    if !context.span().span_context().is_sampled() {
        return None;
    }
    let mut fields = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut fields);
    fields.remove(TRACE_PARENT).map(Into::into)
}

/// Makes a span part of the trace that is named by a `traceparent`.
pub fn follow(span: &Span, parent: &str) {
    if span.is_disabled() {
        return;
    }
    let fields = HashMap::from([(TRACE_PARENT.to_owned(), parent.to_owned())]);
    let context = TraceContextPropagator::new().extract(&fields);
    // It fails only for a span that no collector hears of.
    let _ = span.set_parent(context);
}

const TRACE_PARENT: &str = "traceparent";
