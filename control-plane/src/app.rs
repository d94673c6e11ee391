//! The composition root: reads what is stored, builds the parts, joins the tasks, drains.

mod access;
mod compaction;
mod endpoints;
mod following;
mod issuer;
mod opening;
mod outlets;
mod peers;
mod reach;
mod replica;
mod sources;
mod stored_log;
mod term;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin::Admin;
use crate::app::access::Guards;
use crate::app::endpoints::Endpoints;
use crate::app::opening::{Opened, log_folder};
use crate::app::outlets::{Defaults, Sinks};
use crate::app::peers::lacking;
use crate::app::replica::Replica;
use crate::app::sources::Sources;
use crate::app::stored_log::{InOffice, Keep, StoredArchive, StoredLog};
use crate::clock;
use crate::config::{self, Cli, Command, Config, LogFormat};
use crate::engine::Engine;
use crate::event_log;
use crate::follow::{self, dial::Dialer};
use crate::health::{Condition, Health};
use crate::history::{History, Recorder};
use crate::keys::{Count, Keys};
use crate::metrics::engine::EngineMetrics;
use crate::metrics::leadership::LeadershipMetrics;
use crate::metrics::log::LogMetrics;
use crate::metrics::secrets::SecretMetrics;
use crate::metrics::streams::StreamMetrics;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::publish::Publisher;
use crate::serve::{self, Followers, Leader, Parts, Patience, Role};
use crate::state::hold::Holding;
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
    let dialer = guards.dialer(&config);
    let health = Health::new(Condition::ALL);
    // Until a leader is met whose log is not.
    health.set(Condition::Readable, true);
    let admin = Admin::bind(config.admin.address, health.clone(), telemetry.clone());
    let admin = admin
        .await
        .with_context(|| format!("admin.address {}", config.admin.address))?;

    let Opened { writer, restored } = opening::open(&config.data_folder)?;
    let log = writer.log();

    let (relist, relisted) = watch::channel(0);
    let (secrets, in_use) = watch::channel(None);
    let (lack, lacking_hosts) = watch::channel(None);
    let (wanted, recovery) = watch::channel(Wanted::default());
    let (holding, held) = watch::channel(Holding::default());
    let (presence, present) = watch::channel(Presence::default());
    let (frozen, is_frozen) = watch::channel(false);
    let (settings, configured) = watch::channel(config.live());
    let (role, duty) = watch::channel(Role::Following { leader: None });
    let (stop, stopped) = watch::channel(false);
    let publisher = Publisher::new();
    let recorder = Recorder::new(&restored.fold);
    let history = History::new(Arc::new(StoredArchive(log.clone())), recorder.subscribe());
    let meter = telemetry.meter();
    let streams = StreamMetrics::new(&meter, present.clone(), publisher.subscribe());
    let leadership = LeadershipMetrics::new(&meter);
    let followers = Followers::new(leadership.clone());
    let mut engine_metrics = EngineMetrics::new(&meter, publisher.subscribe());
    engine_metrics.restored(restored.fold.state());
    let publications = publisher.subscribe();
    let (teller, office) = (Arc::default(), InOffice::default());
    let bundles = Keys::new(clock::since_boot);
    let counted = bundles.clone();
    let secret_metrics = SecretMetrics::new(&meter, move || {
        let Count { held, missing } = counted.count();
        (held, missing)
    });
    let parts = Parts {
        publications: publisher.subscribe(),
        presence: present.clone(),
        holding: held,
        frozen: is_frozen.clone(),
        role: duty,
        leader: leader(&dialer),
        followers: followers.clone(),
        history,
        access: guards.access,
        issuing: guards.issuing,
        keys: bundles.clone(),
        metrics: streams,
        secret_metrics,
        patience: Patience::default(),
    };
    let replica = Replica {
        config: config.clone(),
        keys: keys.clone(),
        meter: meter.clone(),
        metrics: leadership,
        health: health.clone(),
        role,
        followers,
        settings: configured,
        presence: present,
        progress: recorder.subscribe(),
        wanted: recovery,
        relisted,
        in_use,
        lacking: lacking_hosts,
        publications: publisher.subscribe(),
        frozen: is_frozen,
        teller: Arc::clone(&teller),
        office: Arc::clone(&office),
        dialer,
        stop: stopped.clone(),
    };
    let sinks = Sinks {
        publisher,
        published: Arc::default(),
        bundles: bundles.clone(),
        presence,
        recorder,
        teller,
        holding,
        office: Arc::clone(&office),
        frozen,
        wanted,
        relist,
        secrets,
        lacking: lack,
        health: health.clone(),
        metrics: engine_metrics,
        defaults: Defaults::default(),
    };
    let keep = Keep {
        records: config.history.records,
        endpoints_millis: ENDPOINTS_MILLIS,
    };
    let stored = StoredLog::new(writer, keys, office, keep, LogMetrics::new(&meter));
    // Before the engine begins, which finds out if it is not.
    health.set(Condition::LogWritable, true);
    let after = config.history.checkpoint_after;
    let engine = tokio::task::block_in_place(|| Engine::new(restored, after, stored, sinks));

    let mut tasks: JoinSet<anyhow::Result<&'static str>> = JoinSet::new();
    let fetching = lacking(&replica, bundles.clone());
    tasks.spawn(async {
        fetching.await;
        Ok("the fetcher of secrets")
    });
    let keeping = bundles.run(publications);
    tasks.spawn(async {
        keeping.await;
        // The engine is gone, which others tell.
        std::future::pending().await
    });
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
    let following = config::watch::run(cli, config, settings, apply);
    tasks.spawn(async {
        Box::pin(following).await;
        Ok("the configuration's watch")
    });
    health.set(Condition::Serving, true);

    // Apart from the others: it ends in order when they have stopped.
    let mut life = JoinSet::new();
    life.spawn(Box::pin(replica.run(engine)));
    let outcome = tokio::select! {
        signal = signalled() => signal.map(|signal| tracing::info!(signal, "stopping")),
        ended = tasks.join_next() => Err(match ended {
            Some(Ok(Ok(task))) => anyhow!("{task} ended by itself"),
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            None => anyhow!("nothing runs"),
        }),
        ended = life.join_next() => Err(match ended {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            Some(Ok(Ok(()))) | None => anyhow!("the replica ended by itself"),
        }),
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
        if let Some(Ok(Err(error))) = life.join_next().await {
            tracing::error!(%error, "the replica did not end in order");
        }
    });
    if drained.await.is_err() {
        tracing::warn!("not everything ended in time");
    }
    outcome
}

/// How an operator's question goes on to whoever leads.
fn leader(dialer: &Dialer) -> Leader {
    let dialer = dialer.clone();
    Leader::new(move |address| {
        let dialer = dialer.clone();
        async move {
            let proxies = follow::proxies(&dialer, address).await;
            proxies.map_err(|error| error.to_string())
        }
    })
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
/// What a restart without sources may still send to: a day.
const ENDPOINTS_MILLIS: i64 = 24 * 3_600_000;
const METRICS_EVERY: Duration = Duration::from_secs(15);
const DRAIN: Duration = Duration::from_secs(10);
