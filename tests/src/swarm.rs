//! Many proxies in one process, for what depends on their number: each has the data plane's own
//! stream to the control plane, and holds of every resource no more than its hash.

mod proxy;

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use opentelemetry::metrics::{MeterProvider, noop::NoopMeterProvider};
use roadstead_data_plane::{
    config::ControlPlane,
    control::{Client, Connector, Metrics},
    report::{Identity, Report},
    snapshot::{Key, Refusal},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use proxy::Proxy;

/// The proxies. They end when it is dropped.
#[derive(Debug)]
pub struct Swarm {
    _tasks: JoinSet<()>,
    said: mpsc::UnboundedReceiver<Said>,
    /// What each of them acknowledged last.
    held: Vec<Mark>,
    /// Nothing is ever taken back from them.
    keeps_all: bool,
    /// When the last of them did so.
    at: Instant,
}

/// What a proxy serves by: a version, and a revision of the endpoints. Versions only rise; the
/// revision is each replica's own, and may be lower where a proxy goes on with another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub epoch: u64,
    pub seq: u64,
    pub endpoints: u64,
}

impl Mark {
    /// The last that an epoch could have.
    pub fn end_of(epoch: u64) -> Self {
        Self {
            epoch,
            seq: u64::MAX,
            endpoints: u64::MAX,
        }
    }

    fn version(&self) -> (u64, u64) {
        (self.epoch, self.seq)
    }
}

/// What a proxy answered to a transfer.
#[derive(Debug)]
struct Said {
    proxy: usize,
    answer: Result<Mark, Refusal>,
    /// A resource that it no longer has.
    lost: Option<Key>,
    at: Instant,
}

impl Swarm {
    /// Starts so many that stream from there. Ten thousand would need more ports than there are.
    /// Among all proxies of an installation the name is unique.
    pub fn join(name: &str, count: usize, from: &ControlPlane) -> anyhow::Result<Self> {
        let metrics = Metrics::new(&NoopMeterProvider::new().meter("swarm"));
        let (saying, said) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            let (report, reported) = watch::channel(Report::default());
            let (orders, ordered) = mpsc::channel(1);
            // Nobody says that another installation is to be followed.
            let (_, accepted) = watch::channel(None);
            let client = Client::new(
                Identity::new(format!("{name}-{number}"))?,
                Connector::new(from.clone(), None),
                orders,
                reported,
                accepted,
                // Nobody asks for certificates.
                watch::channel(None).0,
                metrics.clone(),
            );
            tasks.spawn(Box::pin(client.run()));
            tasks.spawn(Proxy::new(number, report, saying.clone()).run(ordered));
        }
        Ok(Self {
            _tasks: tasks,
            said,
            held: vec![Mark::default(); count],
            keeps_all: false,
            at: Instant::now(),
        })
    }

    /// The same, where nothing is ever deleted: whatever a proxy was once told of it must keep.
    #[must_use]
    pub fn keeping_all(self) -> Self {
        Self {
            keeps_all: true,
            ..self
        }
    }

    /// Waits until all of them have acknowledged one and the same, which is more than this, and
    /// says what it is and when the last of them did so.
    pub async fn beyond(&mut self, mark: Mark, limit: Duration) -> anyhow::Result<(Mark, Instant)> {
        let end = Instant::now() + limit;
        let mut newest = self.held.iter().max().copied().unwrap_or_default();
        let mut have = self.held.iter().filter(|held| **held == newest).count();
        while have < self.held.len() || newest <= mark {
            let said = timeout_at(end, self.said.recv()).await;
            let count = self.held.len();
            let said = said.with_context(|| {
                format!(
                    "after {limit:?} {have} of {count} hold {newest:?}; wanted: beyond {mark:?}"
                )
            })?;
            let said = said.context("all of them have ended")?;
            let Said {
                proxy,
                answer,
                lost,
                at,
            } = said;
            if let Some(lost) = lost.filter(|_| self.keeps_all) {
                bail!("proxy {proxy} lost {lost:?}");
            }
            let held = match answer {
                Ok(held) => held,
                Err(refusal) => bail!("proxy {proxy} refused a transfer: {refusal}"),
            };
            let known = self.held.get_mut(proxy).context("a proxy more")?;
            let before = std::mem::replace(known, held);
            ensure!(
                held.version() >= before.version(),
                "proxy {proxy} went back from {before:?} to {held:?}"
            );
            self.at = at;
            if held > newest {
                (newest, have) = (held, 1);
            } else if held == newest && before != held {
                have += 1;
            } else if before == newest && before != held {
                newest = self.held.iter().max().copied().unwrap_or_default();
                have = self.held.iter().filter(|held| **held == newest).count();
            }
        }
        Ok((newest, self.at))
    }
}
