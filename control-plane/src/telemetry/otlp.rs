//! Metrics and traces to a collector, by OTLP over gRPC.
//!
//! Apart, because it is the one part of telemetry that uses the network.

use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tonic::transport::ClientTlsConfig;

use crate::telemetry::{Otlp, TelemetryError};

pub(super) fn metrics(otlp: &Otlp) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
    let mut exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(TIMEOUT);
    if let Some(tls) = tls(otlp) {
        exporter = exporter.with_tls_config(tls);
    }
    let exporter = exporter.build().map_err(|source| failed(otlp, source))?;
    let reader = PeriodicReader::builder(exporter).with_interval(otlp.interval);
    Ok(reader.build())
}

pub(super) fn tracers(otlp: &Otlp, about: Resource) -> Result<SdkTracerProvider, TelemetryError> {
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(TIMEOUT);
    if let Some(tls) = tls(otlp) {
        exporter = exporter.with_tls_config(tls);
    }
    let exporter = exporter.build().map_err(|source| failed(otlp, source))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(about)
        .with_batch_exporter(exporter);
    Ok(provider.build())
}

/// With the certificates that this machine trusts.
fn tls(otlp: &Otlp) -> Option<ClientTlsConfig> {
    let encrypted = otlp.endpoint.starts_with("https://");
    encrypted.then(|| ClientTlsConfig::new().with_enabled_roots())
}

fn failed(otlp: &Otlp, source: ExporterBuildError) -> TelemetryError {
    TelemetryError::Otlp {
        endpoint: otlp.endpoint.clone(),
        source,
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
