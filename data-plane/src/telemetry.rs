//! What the proxy says about itself: log lines, metrics and traces.
//!
//! Apart, because here alone it is decided where they go; everyone else says them to
//! `tracing` and to a `Meter`.

mod settings;
pub mod trace;

use std::{
    io::{IsTerminal, stdout},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider},
    trace::TracerProvider,
};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkError,
    metrics::SdkMeterProvider,
    trace::{SdkTracer, SdkTracerProvider},
};
use prometheus::{Registry, TextEncoder};
use roadstead_otlp::ExporterBuildError;
use tokio::task::JoinSet;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry as Subscriber,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

pub use settings::{Level, Log, Otlp, Share, TextOrJson};
pub use trace::{Asked, Ended, RequestSpan, RequestTraces};

/// Everything that is said goes through this.
#[derive(Debug)]
pub struct Telemetry {
    levels: Levels,
    registry: Registry,
    meters: SdkMeterProvider,
    /// For what is scraped in another form, under the same name.
    pushed: Option<SdkMeterProvider>,
    tracers: Option<SdkTracerProvider>,
    requests: Option<RequestTraces>,
    /// Writes log lines; those that are queued when it is dropped, too.
    _writing: WorkerGuard,
    /// Tells of a collector that cannot be reached.
    _reaching: JoinSet<()>,
}

/// Sets from what level on something is logged.
#[derive(Clone, Debug)]
pub struct Levels(reload::Handle<EnvFilter, Subscriber>);

impl Levels {
    /// From now on.
    pub fn set(&self, level: &Level) -> Result<(), TelemetryError> {
        Ok(self.0.reload(filter(level))?)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("cannot start the log: {0}")]
    Log(#[from] TryInitError),
    #[error("otlp.endpoint: {0}; write it like http://127.0.0.1:4317")]
    Otlp(#[from] ExporterBuildError),
    #[error("cannot set up metrics: {0}")]
    Metrics(#[from] OTelSdkError),
    #[error("cannot write metrics: {0}")]
    Render(#[from] prometheus::Error),
    #[error("cannot set the log level: {0}")]
    Level(#[from] reload::Error),
}

impl Telemetry {
    /// Starts everything, in the name of this proxy. Needs a tokio runtime if `otlp` has an
    /// endpoint.
    pub fn start(log: &Log, otlp: &Otlp, proxy: &str) -> Result<Self, TelemetryError> {
        let resource = resource(proxy);
        let tracers = match &otlp.endpoint {
            Some(endpoint) => Some(roadstead_otlp::tracers(endpoint, resource.clone())?),
            None => None,
        };
        let tracer = tracers.as_ref().map(|tracers| tracers.tracer(SCOPE));
        // Nobody waits for whoever reads the lines: what does not fit is dropped and counted.
        let (lines, writing) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUED_LINES)
            .finish(stdout());
        let dropped = lines.error_counter();
        let levels = start_log(log, lines, tracer)?;

        let registry = Registry::new();
        let scrapes = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_reader(scrapes);
        let mut pushed = None;
        let mut reaching = JoinSet::new();
        if let Some(endpoint) = &otlp.endpoint {
            meters = meters.with_reader(roadstead_otlp::metrics(endpoint, METRICS_EVERY)?);
            reaching.spawn(roadstead_otlp::reach(endpoint.clone()));
            let provider = SdkMeterProvider::builder()
                .with_resource(resource)
                .with_reader(roadstead_otlp::metrics(endpoint, METRICS_EVERY)?);
            pushed = Some(provider.build());
        }
        let meters = meters.build();
        meters
            .meter(SCOPE)
            .u64_observable_counter("roadstead_log_lines_dropped")
            .with_description("Log lines that standard output did not take in time")
            .with_callback(move |observer| {
                let dropped = u64::try_from(dropped.dropped_lines());
                observer.observe(dropped.unwrap_or(u64::MAX), &[]);
            })
            .build();
        Ok(Self {
            levels,
            registry,
            meters,
            pushed,
            _writing: writing,
            _reaching: reaching,
            requests: tracers
                .as_ref()
                .and_then(|tracers| RequestTraces::new(tracers, otlp.request_share)),
            tracers,
        })
    }

    /// Makes the instruments of all parts.
    pub fn meter(&self) -> Meter {
        self.meters.meter(SCOPE)
    }

    /// Makes instruments that are sent by OTLP, if anything is, and not scraped.
    pub fn pushed(&self) -> Option<Meter> {
        self.pushed.as_ref().map(|meters| meters.meter(SCOPE))
    }

    /// Makes spans of requests, if anyone wants some.
    pub fn requests(&self) -> Option<RequestTraces> {
        self.requests.clone()
    }

    /// Where metrics go that are no instruments.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Changes what is logged.
    pub fn levels(&self) -> Levels {
        self.levels.clone()
    }

    /// Sends what is still here. Blocks, for at most a few seconds.
    pub fn shutdown(self) {
        // There is nowhere left to say that the collector cannot be reached.
        let _: Result<(), _> = self.meters.shutdown();
        if let Some(pushed) = self.pushed {
            let _: Result<(), _> = pushed.shutdown();
        }
        if let Some(tracers) = self.tracers {
            let _: Result<(), _> = tracers.shutdown();
        }
    }
}

/// All metrics in Prometheus' text form.
pub fn render(registry: &Registry) -> Result<String, TelemetryError> {
    Ok(TextEncoder::new().encode_to_string(&registry.gather())?)
}

fn resource(proxy: &str) -> Resource {
    Resource::builder_empty()
        .with_service_name(SCOPE)
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", proxy.to_owned()),
        ])
        .build()
}

fn start_log(
    log: &Log,
    writer: NonBlocking,
    tracer: Option<SdkTracer>,
) -> Result<Levels, TelemetryError> {
    let (level, handle) = reload::Layer::new(filter(&log.level));
    let lines = match log.format {
        TextOrJson::Text => {
            let lines = fmt::layer().with_ansi(stdout().is_terminal());
            lines.with_writer(writer).boxed()
        }
        TextOrJson::Json => {
            let lines = fmt::layer().json().flatten_event(true);
            lines.with_writer(writer).boxed()
        }
    };
    let spans = tracer.map(|tracer| {
        // Not by the filter of log lines: who logs less does not want fewer traces.
        let ours = Targets::new().with_target(OURS, LevelFilter::INFO);
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_filter(ours)
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(level))
        .with(spans)
        .try_init()?;
    Ok(Levels(handle))
}

/// The level was checked when it was read; what cannot be read any more is "info".
fn filter(level: &Level) -> EnvFilter {
    EnvFilter::try_new(level.as_str()).unwrap_or_else(|_| EnvFilter::new("info"))
}

/// How often a collector is sent metrics.
const METRICS_EVERY: Duration = Duration::from_secs(60);

const SCOPE: &str = "roadstead-data-plane";
/// Some MiB.
const QUEUED_LINES: usize = 8192;
/// This crate's modules.
const OURS: &str = "roadstead_data_plane";
