//! The composition root: reads what is stored, builds the parts, joins the tasks, drains.

mod access;
mod compaction;
mod endpoints;
mod opening;
mod outlets;
mod sources;
mod stored_log;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::app::access::Guards;
use crate::app::endpoints::Endpoints;
use crate::app::opening::{Opened, log_folder};
use crate::app::outlets::Sinks;
use crate::app::sources::{Common, Sources};
use crate::app::stored_log::{Keep, StoredArchive, StoredLog};
use crate::config::{self, Cli, Command, Config, LogFormat};
use crate::engine::{Engine, Settings};
use crate::event_log;
use crate::health::{Condition, Health};
use crate::history::{History, Recorder};
use crate::metrics::engine::EngineMetrics;
use crate::metrics::log::LogMetrics;
use crate::metrics::streams::StreamMetrics;
use crate::observe::Observation;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::publish::Publisher;
use crate::recovery::Tenure;
use crate::serve::{self, Parts, Patience};
use crate::status::Status;
use crate::telemetry::{self, Telemetry};

/// Does what the command line says, until it is done or a signal ends it.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let config = cli.config()?;
    match cli.command.unwrap_or_default() {
        Command::Export => export(&config.data_folder),
        Command::Run => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .enable_all()
            .build()?
            .block_on(control_plane(cli, config)),
    }
}

fn export(data_folder: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    let (writer, report) =
        event_log::open(&log_folder(data_folder), event_log::Options::default())?;
    if let Some(cut) = report.cut {
        #[expect(
            clippy::print_stderr,
            reason = "a person reads this; records go to standard output"
        )]
        {
            eprintln!("the end of the event log was torn and is cut: {cut:?}");
        }
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    stored_log::export(&writer.log(), |line| Ok(writeln!(out, "{line}")?))?;
    Ok(out.flush()?)
}

async fn control_plane(cli: Cli, config: Config) -> anyhow::Result<()> {
    let telemetry = Telemetry::start(&telemetry_config(&config))?;
    let outcome = Box::pin(serve_until_stopped(cli, config, &telemetry)).await;
    tokio::task::block_in_place(|| telemetry.stop());
    outcome
}

async fn serve_until_stopped(
    cli: Cli,
    config: Config,
    telemetry: &Telemetry,
) -> anyhow::Result<()> {
    let keys = config.data_folder.join("keys");
    let sources = Sources::of(&config);
    let guards = Guards::post(&config, &sources, &keys).await?;
    let endpoints = Endpoints::bind(&config, guards.known.clone()).await?;
    let health = Health::new(Condition::ALL);
    let admin = Admin::bind(config.admin.address, health.clone(), telemetry.clone());
    let admin = admin
        .await
        .with_context(|| format!("admin.address {}", config.admin.address))?;

    let Opened {
        writer,
        restored,
        identity,
    } = opening::open(&config.data_folder, &keys)?;
    let log = writer.log();

    let (inbox, observations) = mpsc::channel(INBOX);
    let (relist, relisted) = watch::channel(0);
    let (teller, status) = Status::new();
    let (wanted, recovery) = watch::channel(Wanted::default());
    let (presence, present) = watch::channel(Presence::default());
    let publisher = Publisher::new();
    let recorder = Recorder::new(&restored.fold);
    let history = History::new(Arc::new(StoredArchive(log.clone())), recorder.subscribe());
    let meter = telemetry.meter();
    let streams = StreamMetrics::new(&meter, present.clone(), publisher.subscribe());
    let mut engine_metrics = EngineMetrics::new(&meter, publisher.subscribe());
    engine_metrics.restored(restored.fold.state());
    let publications = publisher.subscribe();
    let sinks = Sinks {
        publisher,
        published: Arc::default(),
        presence,
        recorder,
        teller,
        wanted,
        relist,
        health: health.clone(),
        metrics: engine_metrics,
    };
    let keep = Keep {
        records: config.history.records,
        endpoints_millis: ENDPOINTS_MILLIS,
    };
    let tenure = Tenure {
        lineage: identity.lineage.clone(),
        epoch: identity.epoch,
    };
    let settings = Settings {
        lineage: identity.lineage,
        epoch: identity.epoch,
        binary_version: env!("CARGO_PKG_VERSION").into(),
        awaited: sources.awaited(),
        checkpoint_after: config.history.checkpoint_after,
    };
    let stored = StoredLog::new(writer, keys.clone(), keep, LogMetrics::new(&meter));
    // Before the engine begins, which finds out if it is not.
    health.set(Condition::LogWritable, true);
    let engine = tokio::task::block_in_place(|| Engine::begin(settings, restored, stored, sinks));

    let (stop, stopped) = watch::channel(false);
    let mut tasks: JoinSet<anyhow::Result<&'static str>> = JoinSet::new();
    let floor = Duration::from_millis(config.publish_interval_milliseconds);
    // The first observation, so that the settings stand before any object does.
    inbox
        .send(Observation::Configured(config.settings()))
        .await?;
    let common = Common {
        tasks: &mut tasks,
        inbox: &inbox,
        relisted: &relisted,
        tenure,
        wanted: recovery,
        meter: &meter,
    };
    sources.spawn(&config, &keys, status, common).await?;
    let parts = Parts {
        publications,
        presence: present,
        reports: inbox.clone(),
        history,
        access: guards.access,
        issuing: guards.issuing,
        metrics: streams,
        patience: Patience::default(),
    };
    let serving = serve::run(endpoints.listeners, parts, ended(stopped.clone()));
    tasks.spawn(async { Ok(serving.await.map(|()| "gRPC")?) });
    if let Some(keeper) = guards.keeper {
        tasks.spawn(async {
            Box::pin(keeper.run()).await;
            Ok("the keeper of the authority")
        });
    }
    tasks.spawn(async {
        endpoints.certificate.renew().await;
        Ok("the certificate")
    });
    tasks.spawn(async {
        admin.run(ended(stopped)).await;
        Ok("the admin port")
    });
    let followed = telemetry.clone();
    let apply = move |config: &Config| {
        if let Err(error) = followed.set_filter(&config.log.level) {
            tracing::error!(%error, "log.level stays as it was");
        }
    };
    let following = config::watch::run(cli, config, inbox, apply);
    tasks.spawn(async {
        following.await;
        Ok("the configuration's watch")
    });
    health.set(Condition::Serving, true);

    // The engine is apart: it goes on to the end of its inbox when the others have stopped. Its
    // thread is its own, so that no other waits for the disk.
    let mut turns = JoinSet::new();
    turns.spawn_blocking(move || Handle::current().block_on(engine.run(observations, floor)));
    let outcome = tokio::select! {
        signal = signalled() => signal.map(|signal| tracing::info!(signal, "stopping")),
        ended = tasks.join_next() => Err(match ended {
            Some(Ok(Ok(task))) => anyhow!("{task} ended by itself"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            None => anyhow!("nothing runs"),
        }),
        _ = turns.join_next() => Err(anyhow!("the engine ended by itself")),
    };
    health.set(Condition::Serving, false);
    stop.send_replace(true);
    let drained = tokio::time::timeout(DRAIN, async {
        // gRPC ends by itself; what watches and waits does not.
        while let Some(ended) = tasks.join_next().await {
            if matches!(ended, Ok(Ok("gRPC"))) {
                break;
            }
        }
        tasks.shutdown().await;
        turns.join_next().await
    });
    if drained.await.is_err() {
        tracing::warn!("not everything ended in time");
    }
    outcome
}

fn telemetry_config(config: &Config) -> telemetry::Config {
    telemetry::Config {
        service: "roadstead-control-plane",
        format: match config.log.format {
            LogFormat::Text => telemetry::Format::Text,
            LogFormat::Json => telemetry::Format::Json,
        },
        filter: config.log.level.clone(),
        otlp: config
            .otlp
            .endpoint
            .clone()
            .map(|endpoint| telemetry::Otlp {
                endpoint,
                interval: METRICS_EVERY,
            }),
    }
}

async fn signalled() -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

async fn ended(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, which is the end, too.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Beside the engine's thread.
const WORKERS: usize = 2;
/// Observations that wait; sources wait when it is full.
const INBOX: usize = 4096;
/// What a restart without sources may still send to: a day.
const ENDPOINTS_MILLIS: i64 = 24 * 3_600_000;
const METRICS_EVERY: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(10);
