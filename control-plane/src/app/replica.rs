//! One replica over its life: it follows whoever leads, leads when it is its turn, and follows
//! again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use opentelemetry::metrics::Meter;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use crate::acme::Lacking;
use crate::app::following::Following;
use crate::app::outlets::Sinks;
use crate::app::sources::{Cluster, Sources};
use crate::app::stored_log::{InOffice, StoredLog};
use crate::app::term::lead;
use crate::backoff::delay;
use crate::config::{Config, Live};
use crate::engine::Engine;
use crate::event::Epoch;
use crate::follow::dial::Dialer;
use crate::health::{Condition, Health};
use crate::history::Progress;
use crate::identity::{self, Identity};
use crate::installation::{self, Begun, Home};
use crate::lease::{Holding, Leases, Office};
use crate::metrics::leadership::LeadershipMetrics;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::serve::{Followers, Role};
use crate::snapshot::publication::Publication;
use crate::status::Teller;
use crate::watch::InUse;

/// The engine with what it runs on here.
pub(super) type Machine = Engine<StoredLog, Sinks>;

/// What a replica has whatever it is.
pub(super) struct Replica {
    pub(super) config: Config,
    pub(super) keys: PathBuf,
    pub(super) meter: Meter,
    pub(super) metrics: LeadershipMetrics,
    pub(super) health: Health,
    pub(super) role: watch::Sender<Role>,
    pub(super) followers: Followers,
    pub(super) settings: watch::Receiver<Live>,
    pub(super) presence: watch::Receiver<Presence>,
    pub(super) progress: watch::Receiver<Progress>,
    pub(super) wanted: watch::Receiver<Wanted>,
    pub(super) relisted: watch::Receiver<u64>,
    pub(super) in_use: watch::Receiver<InUse>,
    pub(super) lacking: watch::Receiver<Lacking>,
    pub(super) publications: watch::Receiver<Arc<Publication>>,
    pub(super) frozen: watch::Receiver<bool>,
    pub(super) teller: Arc<ArcSwapOption<Teller>>,
    pub(super) office: InOffice,
    pub(super) dialer: Dialer,
    pub(super) stop: watch::Receiver<bool>,
}

impl Replica {
    /// Runs until it is told to stop.
    pub(super) async fn run(self, mut engine: Machine) -> anyhow::Result<()> {
        let Some(cluster) = Sources::of(&self.config).cluster().await? else {
            return Box::pin(self.alone(engine)).await;
        };
        let mut following = Following::new(&self, &cluster)?;
        loop {
            let (follower, elected) = Box::pin(following.until_elected(&self, engine)).await?;
            engine = follower;
            let Some(mut holding) = elected else {
                return store(engine).await;
            };
            let office = holding.office().clone();
            let mut keeping = JoinSet::new();
            keeping.spawn(async move {
                holding.keep().await;
                holding
            });
            let apart = following.is_apart();
            let led = Box::pin(self.term(&cluster, engine, &office, apart)).await;
            office.resign();
            if let Some(Ok(holding)) = keeping.join_next().await {
                Holding::<Leases>::give_back(holding).await;
            }
            let (led, outcome) = led?;
            match outcome {
                Outcome::Led => following.led(),
                Outcome::Outbid(epoch) => following.above(epoch),
                Outcome::NotBegun => following.rest(),
            }
            engine = led;
        }
    }

    /// Without a cluster there is no other: this replica leads from the first moment.
    async fn alone(&self, engine: Machine) -> anyhow::Result<()> {
        let head = engine.fold().state().head();
        let identity = Identity::find(&self.keys, &head.lineage, head.epoch)?;
        let office = Office::forever(identity.epoch);
        let engine = Box::pin(lead(self, engine, office, identity.lineage)).await?;
        store(engine).await
    }

    /// Leads, if the term may begin. Gives back the engine. `apart`: a newer release went on with
    /// the log.
    async fn term(
        &self,
        cluster: &Cluster,
        mut engine: Machine,
        office: &Office,
        apart: bool,
    ) -> anyhow::Result<(Machine, Outcome)> {
        let lineage = match Box::pin(self.begin(cluster, &engine, office)).await? {
            Some(Begun::Term { lineage }) => lineage,
            Some(Begun::Outbid { epoch }) => {
                tracing::warn!(%epoch, "the Lease knew less than was: another term begins above this epoch");
                return Ok((engine, Outcome::Outbid(epoch)));
            }
            None => return Ok((engine, Outcome::NotBegun)),
        };
        let of_log = &engine.fold().state().head().lineage;
        let strange = !of_log.is_empty() && **of_log != *lineage;
        if strange {
            tracing::error!(log = &**of_log, %lineage, "the event log is another installation's, and is set aside");
        } else if apart {
            tracing::error!(
                "a newer release went on with the event log, and this one cannot: it is set aside, and history begins anew"
            );
        }
        if strange || apart {
            engine = spawn_blocking(move || engine.forget().map(|()| engine)).await??;
            self.health.set(Condition::Readable, true);
        }
        let engine = Box::pin(lead(self, engine, office.clone(), lineage)).await?;
        Ok((engine, Outcome::Led))
    }

    /// Notes that the term begins; `None` if that could not be done before it was over, or for so
    /// long that another may try.
    async fn begin(
        &self,
        cluster: &Cluster,
        engine: &Machine,
        office: &Office,
    ) -> anyhow::Result<Option<Begun>> {
        let (remembered, _) = identity::remembered(&self.keys)?;
        let of_log = engine.fold().state().head().lineage.clone();
        let of_log = Some(of_log.into_string()).filter(|lineage| !lineage.is_empty());
        let (known, fresh) = (of_log.or(remembered), identity::new_lineage()?);
        let home = Home {
            namespace: &cluster.namespace,
            lease: &self.config.lease.name,
        };
        let mut failures = 0;
        let begun = Instant::now();
        while begun.elapsed() < BEGIN_WITHIN {
            let known = known.as_deref();
            let begun = installation::begin(&cluster.client, home, known, &fresh, office.epoch());
            let error = tokio::select! {
                begun = begun => match begun {
                    Ok(begun) => return Ok(Some(begun)),
                    Err(error) => error,
                },
                () = office.over() => return Ok(None),
                () = self.stopped() => return Ok(None),
            };
            failures += 1;
            tracing::error!(%error, "the term cannot begin; trying on");
            tokio::select! {
                () = sleep(delay(failures).min(LONGEST)) => {}
                () = office.over() => return Ok(None),
                () = self.stopped() => return Ok(None),
            }
        }
        tracing::error!("the term cannot begin here: the Lease is left to others");
        Ok(None)
    }

    /// Above which every term must be that this replica begins.
    pub(super) fn floor(&self) -> anyhow::Result<Epoch> {
        let (_, remembered) = identity::remembered(&self.keys)?;
        Ok(remembered.max(self.progress.borrow().place.epoch))
    }

    /// Ends when this process is to end.
    pub(super) async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the sender is gone, which is the end, too.
        let _ = stop.wait_for(|stopped| *stopped).await;
    }
}

/// What became of a term.
enum Outcome {
    Led,
    /// The next must be above this epoch.
    Outbid(Epoch),
    NotBegun,
}

/// What is not in a checkpoint yet is, so that the next start is quick.
async fn store(mut engine: Machine) -> anyhow::Result<()> {
    spawn_blocking(move || engine.checkpoint()).await?;
    Ok(())
}

const LONGEST: Duration = Duration::from_secs(5);
/// How long the Lease is kept by a replica that cannot begin.
const BEGIN_WITHIN: Duration = Duration::from_secs(20);
