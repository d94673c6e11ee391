//! What only the replica that leads knows, asked of it in an operator's stead.
//!
//! Apart from how it is reached: connections to replicas are not this module's, which is given a
//! way to ask.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use roadstead_proto::v1::ListProxiesResponse;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tonic::Status;

use crate::serve::error;

type Answer = Result<ListProxiesResponse, String>;

/// The way to whoever leads. A clone is the same way.
#[derive(Clone)]
pub struct Leader {
    ask: Arc<dyn Fn(Arc<str>) -> BoxFuture<'static, Answer> + Send + Sync>,
    turns: Arc<Semaphore>,
}

impl Leader {
    /// By what this gives for an address as the Lease has it: the proxies that are connected
    /// there, or why that is not known.
    pub fn new<F>(ask: impl Fn(Arc<str>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        Self {
            ask: Arc::new(move |address| ask(address).boxed()),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// The proxies of whoever leads there.
    pub(super) async fn proxies(&self, address: Arc<str>) -> Result<ListProxiesResponse, Status> {
        let turn = self.turns.try_acquire();
        let _turn = turn.map_err(|_| error::leader_unheard(&address, "too many ask it now"))?;
        let answer = timeout(PATIENCE, (self.ask)(Arc::clone(&address))).await;
        let answer = answer.unwrap_or_else(|_| Err("it does not answer".to_owned()));
        answer.map_err(|problem| error::leader_unheard(&address, &problem))
    }
}

impl std::fmt::Debug for Leader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leader").finish_non_exhaustive()
    }
}

/// Each is a connection of its own.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);
