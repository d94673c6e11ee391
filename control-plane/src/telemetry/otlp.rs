//! Metrics and traces to a collector, by OTLP over gRPC.
//!
//! Apart, because it is the one part of telemetry that uses the network.

use std::error::Error as _;
use std::time::Duration;

use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::time::sleep;
use tonic::transport::{ClientTlsConfig, Endpoint};

use crate::telemetry::{Otlp, TelemetryError};

pub(super) fn metrics(otlp: &Otlp) -> Result<PeriodicReader<MetricExporter>, TelemetryError> {
    let mut exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(TIMEOUT);
    if let Some(tls) = tls(&otlp.endpoint) {
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
    if let Some(tls) = tls(&otlp.endpoint) {
        exporter = exporter.with_tls_config(tls);
    }
    let exporter = exporter.build().map_err(|source| failed(otlp, source))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(about)
        .with_batch_exporter(exporter);
    Ok(provider.build())
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

fn failed(otlp: &Otlp, source: ExporterBuildError) -> TelemetryError {
    TelemetryError::Otlp {
        endpoint: otlp.endpoint.clone(),
        source,
    }
}

const TIMEOUT: Duration = Duration::from_secs(10);
/// Before a collector that could not be reached is tried again.
const AGAIN: Duration = Duration::from_secs(60);
