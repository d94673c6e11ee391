//! The traffic threads' beginning and end.
//!
//! Apart from what they are told in between.

use std::{io::stdout, rc::Rc, sync::Arc};

use anyhow::{Context, anyhow};
use tokio::{task::spawn_blocking, time::Duration};
use tracing::error;

use super::traffic::{Workers, all};
use crate::access_log::{AccessLog, AccessLogWriter};
use crate::active::Active;
use crate::aside::Aside;
use crate::challenge::Asking;
use crate::config::Config;
use crate::meter::Cells;
use crate::telemetry::Telemetry;
use crate::tls::Tls;
use crate::upstream::{PoolOptions, ProcessConnections};
use crate::worker::{Peers, Worker, WorkerOptions};

/// All traffic threads, and the log that they write.
#[derive(Debug)]
pub(super) struct Threads {
    workers: Workers,
    tls: Arc<Tls>,
    log: AccessLogWriter,
}

impl Threads {
    pub(super) fn start(
        config: &Config,
        telemetry: &Telemetry,
        asking: &Asking,
    ) -> anyhow::Result<Self> {
        let (log, writer) = AccessLog::start(config.access_log, Box::new(stdout()))
            .context("cannot start the access log")?;
        let nothing = Arc::new(Active::empty());
        let seed = getrandom::u64();
        let pools = PoolOptions {
            seed: seed.map_err(|error| anyhow!("cannot draw the threads' seed: {error}"))?,
            connections: ProcessConnections::default(),
        };
        let aside = (config.threads().get() / 2).max(1);
        let aside = Aside::start(aside, STEPS).context("cannot start threads for long steps")?;
        let tls = Tls::new(aside).context("cannot do TLS")?;
        let mut workers = Vec::new();
        let peers = Peers::of(config.threads().get());
        for (index, peers) in peers.into_iter().enumerate() {
            let options = WorkerOptions {
                index,
                peers,
                limits: config.limits.clone(),
                pools: pools.clone(),
                tls: tls.clone(),
                log: log.clone(),
                asking: asking.clone(),
                traces: telemetry.requests(),
            };
            let worker = Worker::spawn(options, nothing.clone());
            workers.push(worker.context("cannot start a traffic thread")?);
        }
        let of_log = [writer.metrics().clone()];
        let cells = workers.iter().map(|worker| worker.metrics().clone());
        Cells::new(cells.chain(of_log).collect())
            .show(
                &telemetry.meter(),
                telemetry.registry(),
                telemetry.pushed().as_ref(),
            )
            .context("cannot show the threads' figures")?;
        Ok(Self {
            workers: Rc::new(workers),
            tls,
            log: writer,
        })
    }

    pub(super) fn workers(&self) -> Workers {
        self.workers.clone()
    }

    /// What they do handshakes by.
    pub(super) fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.tls)
    }

    /// Lets what is open finish, for at most `grace`.
    pub(super) async fn drain(&self, grace: Duration) {
        all(&self.workers, |worker| worker.drain(grace)).await;
    }

    /// Waits for the threads' end. Nobody else may have them any more.
    pub(super) async fn join(self) {
        let Some(workers) = Rc::into_inner(self.workers) else {
            return error!("the traffic threads are still in use at their end");
        };
        let joined = spawn_blocking(|| {
            for worker in workers {
                worker.join()?;
            }
            self.log.join(LAST_LINES)
        });
        match joined.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => error!("{error}"),
            Err(error) => error!("{error}"),
        }
    }
}

/// For whoever reads the log to take its last lines.
const LAST_LINES: Duration = Duration::from_secs(2);

/// Long steps that may wait for each of their threads: a second's worth of the longest.
const STEPS: usize = 256;
