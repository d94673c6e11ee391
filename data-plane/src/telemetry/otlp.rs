//! Metrics and traces to a collector, by OTLP over gRPC.
//!
//! Apart, because it is the one part of telemetry that uses the network.

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    metrics::PeriodicReader,
    trace::{Sampler, SdkTracerProvider},
};
use tonic::transport::ClientTlsConfig;

/// Sends what the instruments show, each minute.
pub(super) fn metrics(
    endpoint: &str,
) -> Result<PeriodicReader<MetricExporter>, ExporterBuildError> {
    let mut exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint);
    if let Some(tls) = tls(endpoint) {
        exporter = exporter.with_tls_config(tls);
    }
    Ok(PeriodicReader::builder(exporter.build()?).build())
}

pub(super) fn tracers(
    endpoint: &str,
    resource: Resource,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let mut exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    if let Some(tls) = tls(endpoint) {
        exporter = exporter.with_tls_config(tls);
    }
    Ok(SdkTracerProvider::builder()
        .with_resource(resource)
        // It is drawn before a span is made.
        .with_sampler(Sampler::AlwaysOn)
        .with_batch_exporter(exporter.build()?)
        .build())
}

/// With the certificates that this machine trusts.
fn tls(endpoint: &str) -> Option<ClientTlsConfig> {
    let encrypted = endpoint.starts_with("https://");
    encrypted.then(|| ClientTlsConfig::new().with_enabled_roots())
}
