//! Metrics and traces to a collector, by OTLP over gRPC.
//!
//! A crate of its own, because both planes send alike: what is encrypted, whom a collector's
//! certificate must satisfy, and what is said while it cannot be reached.

use std::{error::Error, time::Duration};

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::{
    Resource,
    metrics::PeriodicReader,
    trace::{Sampler, SdkTracerProvider},
};
use tokio::time::sleep;
use tonic::transport::{ClientTlsConfig, Endpoint, Error as TransportError};

pub use opentelemetry_otlp::ExporterBuildError;

/// Sends what the instruments show, as often as that.
pub fn metrics(
    endpoint: &str,
    interval: Duration,
) -> Result<PeriodicReader<MetricExporter>, ExporterBuildError> {
    let mut exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT);
    if let Some(tls) = tls(endpoint) {
        exporter = exporter.with_tls_config(tls);
    }
    let reader = PeriodicReader::builder(exporter.build()?).with_interval(interval);
    Ok(reader.build())
}

/// Sends every span that is made: whoever wants fewer draws before.
pub fn tracers(endpoint: &str, about: Resource) -> Result<SdkTracerProvider, ExporterBuildError> {
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .with_timeout(TIMEOUT);
    if let Some(tls) = tls(endpoint) {
        exporter = exporter.with_tls_config(tls);
    }
    Ok(SdkTracerProvider::builder()
        .with_resource(about)
        .with_sampler(Sampler::AlwaysOn)
        .with_batch_exporter(exporter.build()?)
        .build())
}

/// Says why a collector cannot be reached, until it can: the exporters know no more than that it
/// is not there.
pub async fn reach(endpoint: String) {
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

async fn connect(endpoint: &str) -> Result<(), TransportError> {
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
