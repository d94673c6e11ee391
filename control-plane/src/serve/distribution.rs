//! The stream to proxies: versions out, acknowledgements in.
//!
//! Apart from the operators' services: this one alone must keep up with every change, for
//! a thousand readers at once.

mod acknowledgement;
mod ending;
mod exchange;
mod frame;
mod hello;
mod seats;
mod service;
mod session;
mod shared;
mod transfer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use roadstead_proto::v1;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tonic::{Status, Streaming};

use crate::metrics::streams::StreamMetrics;
use crate::presence::StreamId;
use crate::serve::Role;
use crate::serve::distribution::frame::Frame;
use crate::serve::distribution::seats::Seats;
use crate::serve::distribution::shared::Transfers;
use crate::serve::listen::Peer;
use crate::serve::stop::Stop;
use crate::snapshot::publication::Publication;

pub(super) use service::DistributionServer;

/// How long a proxy may take, for each of the things that are waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it says hello.
    pub hello: Duration,
    /// Until it takes the next message of a transfer.
    pub send: Duration,
    /// Until it answers a transfer.
    pub answer: Duration,
    /// Until it is to look elsewhere, while this replica knows of no leader: another may.
    pub leaderless: Duration,
}

impl Default for Patience {
    /// Ten times what a slow node with 10,000 routes takes.
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            send: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            leaderless: Duration::from_secs(10),
        }
    }
}

/// What all streams share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) publications: watch::Receiver<Arc<Publication>>,
    pub(super) role: watch::Receiver<Role>,
    pub(super) metrics: StreamMetrics,
    pub(super) patience: Patience,
    transfers: Transfers,
    /// Permits for large transfers.
    large: Arc<Semaphore>,
    seats: Seats,
    streams: AtomicU64,
}

impl Common {
    pub(super) fn new(
        publications: watch::Receiver<Arc<Publication>>,
        role: watch::Receiver<Role>,
        metrics: StreamMetrics,
        patience: Patience,
    ) -> Self {
        Self {
            publications,
            role,
            metrics,
            patience,
            transfers: Transfers::default(),
            large: Arc::new(Semaphore::new(LARGE_TRANSFERS)),
            seats: Seats::default(),
            streams: AtomicU64::new(1),
        }
    }

    fn next_stream(&self) -> StreamId {
        StreamId(self.streams.fetch_add(1, Ordering::Relaxed))
    }
}

/// A stream that was just opened.
struct Arrival {
    peer: Option<Peer>,
    inbound: Streaming<v1::ProxyMessage>,
    outbound: mpsc::Sender<Result<Frame, Status>>,
}

/// The owner of all streams. They are tasks of their own, and not of a connection, so that
/// each is seen to its end: a proxy that left is reported whatever became of its connection.
pub(super) struct Distribution {
    common: Arc<Common>,
    arrivals: mpsc::Receiver<Arrival>,
}

impl Distribution {
    /// The owner, and the service that brings it streams.
    pub(super) fn new(common: Common) -> (Self, DistributionServer) {
        let (sender, arrivals) = mpsc::channel(ARRIVALS);
        let common = Arc::new(common);
        (Self { common, arrivals }, DistributionServer::new(sender))
    }

    /// Serves until it is stopped, and all streams have ended.
    pub(super) async fn run(mut self, stop: Stop) {
        let mut sessions = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.stopped() => break,
                Some(_) = sessions.join_next() => {}
                Some(arrival) = self.arrivals.recv() => {
                    let common = Arc::clone(&self.common);
                    sessions.spawn(session::run(common, arrival, stop.clone()));
                }
                else => break,
            }
        }
        // What waits to begin is refused by this.
        drop(self.arrivals);
        while sessions.join_next().await.is_some() {}
    }
}

/// Large transfers at once: enough to keep the network busy, and not the memory.
const LARGE_TRANSFERS: usize = 8;
const ARRIVALS: usize = 64;
