//! Metrics and traces to a collector, by OTLP over gRPC.
//!
//! Apart, because it is the one part of telemetry that uses the network.

use std::time::Duration;

use opentelemetry_otlp::{ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::SdkTracerProvider;

use crate::telemetry::{Otlp, TelemetryError};

pub(super) fn metrics(otlp: &Otlp) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|source| failed(otlp, source))?;
    let reader = PeriodicReader::builder(exporter).with_interval(otlp.interval);
    Ok(reader.build())
}

pub(super) fn tracers(otlp: &Otlp, about: Resource) -> Result<SdkTracerProvider, TelemetryError> {
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(TIMEOUT)
        .build()
        .map_err(|source| failed(otlp, source))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(about)
        .with_batch_exporter(exporter);
    Ok(provider.build())
}

fn failed(otlp: &Otlp, source: ExporterBuildError) -> TelemetryError {
    TelemetryError::Otlp {
        endpoint: otlp.endpoint.clone(),
        source,
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
