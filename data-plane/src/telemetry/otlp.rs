//! Metrics and traces to a collector, by OTLP over gRPC.
//!
//! Apart, because it is the one part of telemetry that uses the network.

use std::{error::Error, time::Duration};

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    metrics::PeriodicReader,
    trace::{Sampler, SdkTracerProvider},
};
use tokio::time::sleep;
use tonic::transport::{ClientTlsConfig, Endpoint};

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

/// Says why a collector cannot be reached, until it can: the exporters know no more than that it
/// is not there.
pub(super) async fn reach(endpoint: String) {
    while let Err(error) = connect(&endpoint).await {
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let mut causes: Vec<_> = causes.map(ToString::to_string).collect();
        // What wraps another often says the same.
        causes.dedup();
        let causes = causes.join(": ");
        tracing::warn!("otlp.endpoint: nothing can be sent to {endpoint}: {error}: {causes}");
        sleep(AGAIN).await;
    }
}

async fn connect(endpoint: &str) -> Result<(), tonic::transport::Error> {
    let mut collector = Endpoint::from_shared(endpoint.to_owned())?.connect_timeout(TIMEOUT);
    if let Some(tls) = tls(endpoint) {
        collector = collector.tls_config(tls)?;
    }
    collector.connect().await.map(drop)
}

/// With the certificates that this machine trusts.
fn tls(endpoint: &str) -> Option<ClientTlsConfig> {
    let encrypted = endpoint.starts_with("https://");
    encrypted.then(|| ClientTlsConfig::new().with_enabled_roots())
}

const TIMEOUT: Duration = Duration::from_secs(10);

/// Before a collector that could not be reached is tried again.
const AGAIN: Duration = Duration::from_secs(60);
