//! Builds the parts, joins their tasks, and ends them in order.
//!
//! The composition root: nothing else knows more than its own part.

mod heartbeat;
mod keep;
mod listeners;
mod live;
mod names;
mod signals;
mod threads;
mod traffic;

use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{mpsc, watch},
    task::{AbortHandle, JoinError, JoinSet, spawn_blocking},
    time::{Duration, timeout},
};
use tracing::{info, warn};

use self::{keep::Keeping, live::Live, signals::Signals, threads::Threads, traffic::Traffic};
use crate::active::Active;
use crate::admin::{Admin, Server};
use crate::challenge::{self, Asked};
use crate::config::{Change, Cli, Command, Config, Watch};
use crate::control::{Applier, Challenges, Client, Connector, Metrics, Renewal};
use crate::handover::{Handover, Inherited, Offer, Others};
use crate::low_ports;
use crate::prepare;
use crate::probe;
use crate::readiness::Readiness;
use crate::report::Identity;
use crate::telemetry::{Levels, Telemetry};

/// Does what the command line says: runs the proxy until it is told to end, if nothing else.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match &cli.command {
        Some(Command::Prepare { owner, folders }) => {
            for folder in folders {
                prepare::folder(folder, *owner)?;
            }
            return Ok(());
        }
        Some(Command::Probe { socket, about }) => return Ok(probe::ask(socket, about)?),
        None => {}
    }
    let config = cli.config()?;
    low_ports::take();
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("cannot start the control thread's runtime")?;
    runtime.block_on(Box::pin(serve(cli, config)))
}

async fn serve(cli: Cli, config: Config) -> anyhow::Result<()> {
    let identity = Identity::new(config.proxy.clone()).context("cannot draw a boot id")?;
    let telemetry = Telemetry::start(&config.log, &config.otlp, &identity.proxy)?;
    info!(
        proxy = identity.proxy,
        boot_id = identity.boot_id,
        threads = config.threads(),
        release = env!("CARGO_PKG_VERSION"),
        "starting"
    );
    let grace = config.grace_period;
    let mut signals = Signals::new().context("cannot wait for signals")?;
    let (asking, asked) = challenge::asking();
    let threads = Threads::start(&config, &telemetry, &asking)?;
    let mut app = App {
        readiness: Readiness::default(),
        tasks: JoinSet::new(),
        applying: JoinSet::new(),
        offer: config.handover_socket.as_ref().map(|_| Offer::open()),
    };
    let starting = app.start(cli, config, identity, &telemetry, (&threads, asked));
    let first_to_end = tokio::select! {
        started = Box::pin(starting) => started?,
        // As process 1 of a container it would else be told in vain.
        () = signals.told() => return Ok(()),
    };
    let ended = app.until_told(&mut signals).await;
    tokio::select! {
        () = app.end(first_to_end, threads, grace) => flush(telemetry).await,
        () = signals.told() => warn!("told to end once more: ending at once"),
    }
    ended
}

/// The tasks of the control thread. If one of them ends by itself, so does the process; each
/// says which it was.
struct App {
    readiness: Readiness,
    tasks: JoinSet<&'static str>,
    /// Those that finish what they have begun.
    applying: JoinSet<&'static str>,
    /// The sockets that a successor gets, if they are handed over.
    offer: Option<Offer>,
}

impl App {
    /// Starts everything; the threads ask for challenges by `asked`. Gives those that are to be ended first.
    async fn start(
        &mut self,
        cli: Cli,
        config: Config,
        identity: Identity,
        telemetry: &Telemetry,
        (threads, asked): (&Threads, mpsc::Receiver<Asked>),
    ) -> anyhow::Result<Vec<AbortHandle>> {
        let live = Live::new(&self.readiness);
        let meter = telemetry.meter();
        let metrics = Metrics::new(&meter);
        let inherited = Inherited::default();
        let (handover, others) = self.take_over(&config, &identity, &inherited).await.unzip();
        let others = others.unwrap_or_else(|| watch::channel(Others::default()).1);
        let (apart, following) = keep::apart(others.clone());
        self.spawn("the journal's owner", following);
        let keeping = Keeping::start(&config.state_folder, &identity.boot_id, &meter, apart);
        let of_admin = inherited.take(config.admin.address);
        let of_admin = of_admin.and_then(|sockets| sockets.into_iter().next());
        let active = Arc::new(Active::empty());
        let traffic = Traffic::new(
            (threads.workers(), threads.tls()),
            active,
            inherited,
            self.offer.clone(),
        );
        let externals = traffic.externals();
        let (may_ask, calls) = watch::channel(None);
        let challenges = Challenges::new(calls.clone(), metrics.clone());
        self.spawn("challenges", challenge::answer(challenges, asked));
        let (keys, writing) = keep::keys(config.keys_folder.clone(), others.clone());
        if let Some(writing) = writing {
            self.apply("the keys' writer", writing);
        }
        let mut applier = Applier::new(traffic, keeping.batches(), (keys, calls), metrics.clone());
        let report = applier.report();

        let (alive, is_alive) = watch::channel(true);
        let admin = Admin {
            identity: identity.clone(),
            report: report.clone(),
            readiness: self.readiness.clone(),
            alive: is_alive,
            registry: telemetry.registry().clone(),
        };
        let server = Server::bind(&config.admin, of_admin, handover.is_some(), admin)?;
        let mut first = Vec::new();
        if let (Some(offer), Some(port)) = (&self.offer, server.handle()?) {
            offer.add(&"the admin port".into(), &[port]);
        }
        if let Some(handover) = handover {
            first.push(self.spawn("handover", handover.run()));
        }
        self.spawn("admin port", server.run(others));
        let heartbeat = heartbeat::watch(threads.workers(), alive);
        let heartbeat = self.spawn("heartbeat", heartbeat);
        self.spawn("name resolution", names::run(externals, threads.workers()));
        self.spawn("readiness", live.follow(report.clone()));
        let (accept, accepted) = watch::channel(config.accept_lineage.clone());
        if let Some(watch) = Watch::new(cli, config.clone()) {
            self.spawn("configuration", follow(watch, telemetry.levels(), accept));
        }

        if let Some(writing) = keeping.restore(&mut applier).await {
            self.apply("journal", writing);
        }
        let (orders, ordered) = mpsc::channel(1);
        self.apply("applier", applier.run(ordered));
        if config.control_plane.addresses.is_empty() {
            warn!("controlPlane.addresses is empty: only what was kept is served");
        }
        let renewal = Renewal::new(&config.control_plane, metrics.clone());
        let (renewal, certificates) = renewal.unzip();
        if let Some(renewal) = renewal {
            self.spawn("certificate", renewal.run());
        }
        let connector = Connector::new(config.control_plane, certificates);
        let client = Client::new(
            identity, connector, orders, report, accepted, may_ask, metrics,
        );
        first.push(self.spawn("control plane's client", client.run()));
        first.push(heartbeat);
        Ok(first)
    }

    /// Takes over what a predecessor on this machine has, if sockets are handed over.
    async fn take_over(
        &self,
        config: &Config,
        identity: &Identity,
        inherited: &Inherited,
    ) -> Option<(Handover, watch::Receiver<Others>)> {
        let sockets = (self.offer.clone()?, inherited.clone());
        let (path, boot_id) = (config.handover_socket.clone()?, identity.boot_id.clone());
        Some(Handover::begin(path, boot_id, sockets, self.readiness.subscribe()).await)
    }

    /// Waits for a signal, or for the end of a task that must not end.
    async fn until_told(&mut self, signals: &mut Signals) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = signals.told() => return Ok(()),
            Some(ended) = self.tasks.join_next() => ended,
            Some(ended) = self.applying.join_next() => ended,
        };
        match ended {
            Ok(name) => bail!("{name} has ended"),
            Err(error) => bail!("a task of the control thread failed: {error}"),
        }
    }

    /// No new version, no new connection; what is open may finish.
    async fn end(mut self, first: Vec<AbortHandle>, threads: Threads, grace: Duration) {
        self.readiness.end();
        info!(grace = ?grace, "ending");
        first.iter().for_each(AbortHandle::abort);
        if let Some(offer) = &self.offer {
            offer.end();
        }
        let applied = timeout(FLUSH, async {
            while self.applying.join_next().await.is_some() {}
        });
        let (applied, ()) = tokio::join!(applied, threads.drain(grace));
        if applied.is_err() {
            warn!("the last versions may not be in the journal");
        }
        self.applying.shutdown().await;
        self.tasks.shutdown().await;
        threads.join().await;
        info!("ended");
    }

    fn spawn(
        &mut self,
        name: &'static str,
        task: impl Future<Output = ()> + 'static,
    ) -> AbortHandle {
        self.tasks.spawn_local(named(name, task))
    }

    fn apply(&mut self, name: &'static str, task: impl Future<Output = ()> + 'static) {
        self.applying.spawn_local(named(name, task));
    }
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

async fn follow(mut watch: Watch, levels: Levels, accept: watch::Sender<Option<Arc<str>>>) {
    loop {
        let Change {
            level,
            accept_lineage,
            waiting,
        } = watch.changed().await;
        // Without a receiver there is nobody who would be offered versions.
        accept.send_if_modified(|known| {
            let differs = *known != accept_lineage;
            known.clone_from(&accept_lineage);
            differs
        });
        match levels.set(&level) {
            Ok(()) => info!(level = level.as_str(), "configuration read anew"),
            Err(error) => warn!("{error}"),
        }
        if !waiting.is_empty() {
            warn!(
                keys = waiting.join(", "),
                "these need a restart to take effect"
            );
        }
    }
}

/// Sends what is still to be sent, beside this thread, whose runtime sends it.
async fn flush(telemetry: Telemetry) {
    let flushed = spawn_blocking(move || telemetry.shutdown());
    let _: Result<Result<(), JoinError>, _> = timeout(FLUSH, flushed).await;
}

const FLUSH: Duration = Duration::from_secs(5);
