//! Requests that go on while a test does something, and of which none may fail.
//!
//! Two clients: one keeps its connection until it is told not to, one opens a new one for each
//! request, because what breaks the one need not break the other.

use std::{
    convert::identity,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use http::Method;
use tokio::{
    task::JoinSet,
    time::{Interval, interval},
};

use crate::{
    http::{Connection, Protocol, request},
    planes::SOON,
    wait,
};

/// A load; it ends when it is dropped.
#[derive(Debug)]
pub struct Load {
    answered: Arc<AtomicU64>,
    clients: JoinSet<anyhow::Result<()>>,
}

impl Load {
    /// Begins to ask for this host and path.
    pub fn start(address: SocketAddr, host: &str, path: &str) -> Self {
        Self::paced(address, host, path, PACE)
    }

    /// The same, with this long between two requests of a client.
    pub fn paced(address: SocketAddr, host: &str, path: &str, pace: Duration) -> Self {
        let answered = Arc::new(AtomicU64::new(0));
        let mut clients = JoinSet::new();
        for keeps in [true, false] {
            let (host, path) = (host.to_owned(), path.to_owned());
            let pace = interval(pace);
            clients.spawn(ask(address, host, path, keeps, pace, Arc::clone(&answered)));
        }
        Self { answered, clients }
    }

    /// Waits until so many requests more were answered. Fails as soon as one has failed.
    pub async fn goes_on(&mut self, requests: u64) -> anyhow::Result<()> {
        let goal = self.answered() + requests;
        let what = format!("{goal} answers");
        wait::until(&what, SOON, async || {
            if let Some(ended) = self.clients.try_join_next() {
                return Some(ended.map_err(anyhow::Error::from).and_then(identity));
            }
            (self.answered() >= goal).then_some(Ok(()))
        })
        .await?
    }

    /// Requests that were answered so far, each with success.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Asks until a request fails.
async fn ask(
    address: SocketAddr,
    host: String,
    path: String,
    keeps: bool,
    mut pace: Interval,
    answered: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut kept = None;
    loop {
        pace.tick().await;
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(address, Protocol::Http1).await?,
        };
        let reply = connection.send(request(Method::GET, &host, &path)).await;
        let reply = reply.with_context(|| format!("a connection (kept: {keeps})"))?;
        if !reply.status.is_success() {
            bail!("{} {}", reply.status, reply.text());
        }
        answered.fetch_add(1, Ordering::Relaxed);
        let closes = reply.header("connection").eq_ignore_ascii_case("close");
        kept = (keeps && !closes).then_some(connection);
    }
}

/// Of each client: enough to meet every moment of a change, and little for a busy machine.
const PACE: Duration = Duration::from_millis(2);
