//! What is told about the process: log lines, metrics, traces.
//!
//! Apart from what tells: modules use `tracing` and the instruments they are given, and
//! only here is known where that goes.

pub mod trace;

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::JoinSet;
use tracing::{Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt as _, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::metrics;

/// What to tell, and where.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the program, as in traces and metrics.
    pub service: &'static str,
    pub format: Format,
    /// Directives such as `info` or `info,roadstead_control_plane::serve=debug`.
    pub filter: String,
    /// A collector; `None`: log lines and `/metrics` only.
    pub otlp: Option<Otlp>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// An OpenTelemetry collector that takes OTLP by gRPC.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// For example `http://collector:4317`, or `https://` where the machine trusts its
    /// certificate.
    pub endpoint: String,
    /// How often metrics are sent.
    pub interval: Duration,
}

/// Telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the log filter \"{filter}\" cannot be read: {source}")]
    Filter {
        filter: String,
        source: tracing_subscriber::filter::ParseError,
    },
    #[error("the exporter of metrics cannot be made: {0}")]
    Metrics(#[from] opentelemetry_sdk::error::OTelSdkError),
    #[error("the exporter to {endpoint} cannot be made: {source}")]
    Otlp {
        endpoint: String,
        source: roadstead_otlp::ExporterBuildError,
    },
    #[error("log lines already go elsewhere: {0}")]
    Installed(#[from] tracing_subscriber::util::TryInitError),
    #[error("metrics cannot be written as text: {0}")]
    Text(#[from] prometheus::Error),
}

/// Running telemetry. A clone is another handle.
#[derive(Clone, Debug)]
pub struct Telemetry {
    registry: prometheus::Registry,
    meters: SdkMeterProvider,
    tracers: Option<SdkTracerProvider>,
    filter: reload::Handle<EnvFilter, Registry>,
    lines: Option<Arc<Lines>>,
    /// Tells of a collector that cannot be reached.
    reaching: Option<Arc<JoinSet<()>>>,
}

/// The thread that writes log lines. Nobody waits for whoever reads them: what does not fit
/// into its queue is dropped and counted.
#[derive(Debug)]
struct Lines {
    dropped: ErrorCounter,
    /// Writes what is queued when it is dropped.
    _writing: WorkerGuard,
}

impl Telemetry {
    /// Makes this process tell. To be called once, and within a tokio runtime, on which the
    /// exporters run.
    pub fn start(config: &Config) -> Result<Self, TelemetryError> {
        let (writer, writing) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUED_LINES)
            .finish(io::stdout());
        let lines = Lines {
            dropped: writer.error_counter(),
            _writing: writing,
        };
        let (mut telemetry, subscriber) = Self::build(config, writer)?;
        subscriber.try_init()?;
        if let Some(otlp) = &config.otlp {
            let mut reaching = JoinSet::new();
            reaching.spawn(roadstead_otlp::reach(otlp.endpoint.clone()));
            telemetry.reaching = Some(Arc::new(reaching));
        }
        let dropped = lines.dropped.clone();
        let count = move || u64::try_from(dropped.dropped_lines()).unwrap_or(u64::MAX);
        metrics::lines_dropped(&telemetry.meter(), count);
        telemetry.lines = Some(Arc::new(lines));
        Ok(telemetry)
    }

    /// Where a part of the program registers its instruments.
    pub fn meter(&self) -> Meter {
        self.meters.meter("roadstead")
    }

    /// All metrics in Prometheus' text form.
    pub fn metrics_text(&self) -> Result<String, TelemetryError> {
        let encoder = prometheus::TextEncoder::new();
        Ok(encoder.encode_to_string(&self.registry.gather())?)
    }

    /// Changes what is logged from now on.
    pub fn set_filter(&self, filter: &str) -> Result<(), TelemetryError> {
        let filter = parse(filter)?;
        // It fails only when the subscriber is gone, and nothing is logged any more.
        let _ = self.filter.reload(filter);
        Ok(())
    }

    /// Sends what was not sent yet. Blocks for as long as that takes, some seconds at most.
    pub fn stop(&self) {
        if let Some(tracers) = &self.tracers
            && let Err(error) = tracers.shutdown_with_timeout(LAST_EXPORT)
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
        if let Err(error) = self.meters.shutdown_with_timeout(LAST_EXPORT) {
            tracing::warn!(%error, "the last metrics were not sent");
        }
    }

    /// Telemetry that logs nothing, for tests of what is told.
    #[cfg(test)]
    pub(crate) fn for_test(config: &Config) -> Self {
        Self::build(config, io::sink).expect("it can be built").0
    }

    fn build<W>(
        config: &Config,
        writer: W,
    ) -> Result<(Self, impl Subscriber + Send + Sync + 'static), TelemetryError>
    where
        W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
    {
        let registry = prometheus::Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let about = Resource::builder().with_service_name(config.service);
        let about = about.build();
        let mut meters = SdkMeterProvider::builder()
            .with_resource(about.clone())
            .with_reader(exporter);
        let mut tracers = None;
        if let Some(otlp) = &config.otlp {
            let failed = |source| TelemetryError::Otlp {
                endpoint: otlp.endpoint.clone(),
                source,
            };
            let metrics = roadstead_otlp::metrics(&otlp.endpoint, otlp.interval);
            meters = meters.with_reader(metrics.map_err(failed)?);
            let made = roadstead_otlp::tracers(&otlp.endpoint, about);
            tracers = Some(made.map_err(failed)?);
        }
        let traces = tracers.as_ref().map(|tracers| {
            let tracer = tracers.tracer("roadstead");
            // Not by the filter of log lines: who logs less does not want fewer traces.
            let ours = Targets::new().with_target(OURS, LevelFilter::INFO);
            tracing_opentelemetry::layer()
                .with_tracer(tracer)
                .with_filter(ours)
        });
        let (filter, handle) = reload::Layer::new(parse(&config.filter)?);
        // Colours are for people: a file or a collector gets none.
        let colours = io::stdout().is_terminal();
        let lines = fmt::layer().with_ansi(colours).with_writer(writer);
        let lines = match config.format {
            Format::Text => lines.boxed(),
            Format::Json => lines.json().boxed(),
        };
        // Spans are for traces: lines say what they are about themselves, and without a
        // collector a span costs nothing.
        let events = filter_fn(|metadata| metadata.is_event() && !may_quote(metadata));
        // With a bound of its own, because two filters together have one only if both have: every
        // span of every library would else be made, for nobody.
        let events = events.with_max_level_hint(LevelFilter::TRACE);
        let lines = lines.with_filter(filter.and(events));
        let telemetry = Self {
            registry,
            meters: meters.build(),
            tracers,
            filter: handle,
            lines: None,
            reaching: None,
        };
        let subscriber = Registry::default().with(lines).with(traces);
        Ok((telemetry, subscriber))
    }
}

/// Whether the Kubernetes client may quote an answer that it could not read, and so the keys of a
/// Secret. Whatever the filter says: what is wrong is told by whoever asked.
fn may_quote(metadata: &Metadata<'_>) -> bool {
    match metadata.target() {
        "kube_client::client" => *metadata.level() > Level::ERROR,
        "kube_runtime::watcher" => *metadata.level() > Level::WARN,
        _ => false,
    }
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    let parsed = EnvFilter::builder().parse(filter);
    parsed.map_err(|source| TelemetryError::Filter {
        filter: filter.to_owned(),
        source,
    })
}

/// More than a first list of ten thousand objects says: some MiB.
const QUEUED_LINES: usize = 32_768;
/// This crate's modules.
const OURS: &str = "roadstead_control_plane";
/// How long the end of the process may wait for a collector.
const LAST_EXPORT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
