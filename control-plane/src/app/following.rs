//! Time without a term: the leader's log is followed, and the Lease looked at.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::app::peers::{ahead, heard_of, own_address};
use crate::app::reach::Reach;
use crate::app::replica::{Machine, Replica};
use crate::app::sources::Cluster;
use crate::event::Epoch;
use crate::follow::dial::Peer;
use crate::follow::{self, Followed, Standing};
use crate::health::Condition;
use crate::identity;
use crate::lease::{Candidate, Holder, Holding, LeaseError, Leases, Timing};
use crate::replication::Place;
use crate::serve::Role;

/// A replica that would lead.
pub(super) struct Following {
    candidate: Candidate<Leases>,
    /// An epoch that was, though neither the Lease nor this log knows of it.
    above: Epoch,
    /// Until then the Lease is left to others.
    resting: Option<Instant>,
    /// How this replica's log stands to the others'.
    standing: watch::Sender<Standing>,
    /// What was said of the Lease, so that it is said once.
    said: BTreeSet<String>,
}

impl Following {
    pub(super) fn new(replica: &Replica, cluster: &Cluster) -> anyhow::Result<Self> {
        let config = &replica.config;
        let nonce = identity::replica(&config.data_folder)?;
        let name = config.lease.identity.clone().unwrap_or_else(host_name);
        let me = Holder {
            identity: format!("{name}_{nonce}").into(),
            address: own_address(config).into(),
        };
        let timing = Timing {
            duration: config.lease.duration,
            renew_within: config.lease.renew_within,
            retry: config.lease.retry,
        };
        let leases = Leases::new(
            cluster.client.clone(),
            &cluster.namespace,
            &config.lease.name,
        );
        Ok(Self {
            candidate: Candidate::new(leases, me, timing),
            above: Epoch(0),
            resting: None,
            standing: watch::Sender::default(),
            said: BTreeSet::new(),
        })
    }

    /// The next term must be above this epoch.
    pub(super) fn above(&mut self, epoch: Epoch) {
        self.above = self.above.max(epoch);
    }

    /// Leaves the Lease to others for a while: this replica had it, and could not begin a term.
    pub(super) fn rest(&mut self) {
        self.resting = Some(Instant::now() + UNFIT);
    }

    /// Whether a newer release went on with the log, which cannot be joined here any more.
    pub(super) fn is_apart(&self) -> bool {
        self.standing.borrow().is_apart()
    }

    /// This replica led: what its log was to the others' is past.
    pub(super) fn led(&self) {
        self.standing.send_replace(Standing::Behind);
    }

    /// Follows until this replica holds the Lease; `None`: it is to stop.
    pub(super) async fn until_elected(
        &mut self,
        replica: &Replica,
        mut engine: Machine,
    ) -> anyhow::Result<(Machine, Option<Holding<Leases>>)> {
        let (steps, mut inbox) = mpsc::channel(STEPS);
        let (whom, followed) = watch::channel(None);
        let runtime = Handle::current();
        let mut taking_in = JoinSet::new();
        taking_in.spawn_blocking(move || {
            runtime.block_on(engine.follow(&mut inbox));
            engine
        });
        let mut tasks = JoinSet::new();
        let dialer = replica.dialer.clone();
        tasks.spawn(follow::run(dialer, followed, steps, self.standing.clone()));
        let elected = tokio::select! {
            elected = self.elected(replica, &whom) => Some(elected?),
            () = replica.stopped() => None,
            // It goes on for as long as someone may tell it something.
            ended = taking_in.join_next() => {
                let ended = ended.transpose()?.map(drop);
                return Err(anyhow!("the engine ended by itself: {ended:?}"));
            }
        };
        // The engine is done when nothing comes any more.
        tasks.shutdown().await;
        let engine = taking_in.join_next().await.transpose()?;
        Ok((engine.context("the engine is gone")?, elected))
    }

    async fn elected(
        &mut self,
        replica: &Replica,
        whom: &watch::Sender<Followed>,
    ) -> anyhow::Result<Holding<Leases>> {
        let mut standing = self.standing.subscribe();
        let mut free_since: Option<Instant> = None;
        let mut reach = Reach::default();
        loop {
            let looked = self.candidate.look().await;
            let leader = match self.candidate.leader() {
                // Others may see what this replica cannot.
                None if looked.is_err() => heard_of(replica).await,
                leader => leader.map(|address| Peer {
                    address,
                    name: None,
                }),
            };
            say_role(replica, reach.announced(leader.as_ref()));
            point(whom, leader.clone());
            match looked {
                Ok(true) => {
                    let since = *free_since.get_or_insert_with(Instant::now);
                    let rested = self.resting.is_none_or(|until| Instant::now() >= until);
                    if rested
                        && self.is_fit(replica, since)
                        && let Some(holding) = Box::pin(self.take(replica, whom, since)).await?
                    {
                        self.said.clear();
                        return Ok(holding);
                    }
                }
                Ok(false) => {
                    free_since = None;
                    self.said.clear();
                }
                Err(error) => self.say(&error),
            }
            let pause = sleep(self.candidate.pause());
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    Ok(()) = standing.changed() => {
                        let standing = standing.borrow_and_update().clone();
                        let current = matches!(standing, Standing::Current(_));
                        replica.health.set(Condition::Listed, current);
                        replica.health.set(Condition::Readable, !standing.is_apart());
                        reach.note(&standing);
                        say_role(replica, reach.announced(leader.as_ref()));
                    }
                }
            }
        }
    }

    /// Whether this replica takes a Lease that has been free since then: one that cannot write its
    /// log, or would have to begin it anew, lets others come first.
    fn is_fit(&self, replica: &Replica, since: Instant) -> bool {
        let able = !*replica.frozen.borrow() && !self.is_apart();
        able || since.elapsed() >= UNFIT
    }

    /// Takes the Lease, after having caught up with whoever has more of the log.
    async fn take(
        &mut self,
        replica: &Replica,
        whom: &watch::Sender<Followed>,
        since: Instant,
    ) -> anyhow::Result<Option<Holding<Leases>>> {
        if let Some(ahead) = ahead(replica).await {
            let (peer, place) = ahead;
            tracing::info!(address = &*peer.address, %place, "another replica's log has more: catching up before leading");
            point(whom, Some(peer));
            let caught_up = timeout(CATCH_UP, catch_up(replica, &place)).await;
            if caught_up != Ok(true) {
                tracing::warn!(%place, "that log could not be had in time: going on without it");
            }
            point(whom, None);
            // That may have turned out to be what cannot be read here.
            if !self.is_fit(replica, since) {
                return Ok(None);
            }
        }
        match Box::pin(self.candidate.take(replica.floor()?.max(self.above))).await {
            Ok(holding) => Ok(holding),
            Err(error) => {
                self.say(&error);
                Ok(None)
            }
        }
    }

    fn say(&mut self, error: &LeaseError) {
        let text = error.to_string();
        if self.said.insert(text) {
            tracing::error!(%error, "the Lease is not to be had; trying on");
        }
    }
}

/// Waits until this replica's log is as far as another's; `false` if it no longer comes nearer.
async fn catch_up(replica: &Replica, place: &Place) -> bool {
    let mut progress = replica.progress.clone();
    while place.is_ahead_of(&progress.borrow_and_update().place) {
        if !matches!(timeout(STALLED, progress.changed()).await, Ok(Ok(()))) {
            return false;
        }
    }
    true
}

fn say_role(replica: &Replica, leader: Option<Arc<str>>) {
    replica.role.send_if_modified(|role| {
        let same = matches!(role, Role::Following { leader: known } if *known == leader);
        if !same {
            match &leader {
                Some(leader) => tracing::info!(%leader, "another replica leads"),
                None => tracing::info!("no replica leads now"),
            }
            *role = Role::Following { leader };
        }
        !same
    });
}

fn point(whom: &watch::Sender<Followed>, to: Followed) {
    whom.send_if_modified(|whom| {
        let changed = *whom != to;
        *whom = to;
        changed
    });
}

/// As the kernel knows it.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    name.map_or_else(|_| "replica".to_owned(), |name| name.trim().to_owned())
}

const STEPS: usize = 16;
/// How long a replica that could do little with the Lease leaves it to others.
const UNFIT: Duration = Duration::from_secs(5);
/// How long nothing may come while this replica catches up with another before it leads, so that
/// one that promises more than it gives costs little time; and how long it may take in all.
const STALLED: Duration = Duration::from_secs(3);
const CATCH_UP: Duration = Duration::from_secs(60);
