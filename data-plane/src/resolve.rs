//! Addresses of external upstreams: looked up by the control thread, used by the others.
//!
//! Apart from the traffic threads, which never wait for a name server on a request whose
//! upstream is known: they are given what was found, and keep it when it cannot be found anew.

mod dns;
mod names;

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

pub use dns::Dns;
pub use names::External;

use self::names::Names;
use crate::active::Endpoint;
use crate::clock;
use crate::router::UpstreamId;

/// What is known of every external upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    endpoints: HashMap<UpstreamId, Arc<[Endpoint]>>,
}

impl Resolved {
    /// The addresses of one: none at all if its name could not be resolved, and `None` until
    /// that is known.
    pub fn endpoints(&self, id: UpstreamId) -> Option<&Arc<[Endpoint]>> {
        self.endpoints.get(&id)
    }
}

impl FromIterator<(UpstreamId, Arc<[Endpoint]>)> for Resolved {
    fn from_iter<I: IntoIterator<Item = (UpstreamId, Arc<[Endpoint]>)>>(known: I) -> Self {
        Self {
            endpoints: known.into_iter().collect(),
        }
    }
}

/// Finds addresses of names.
pub trait Lookup {
    /// The addresses, and until when they hold; an error says nothing about the name.
    fn lookup(&self, name: Arc<str>) -> impl Future<Output = Result<Found, LookupError>>;
}

/// What was found for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub addresses: Vec<std::net::IpAddr>,
    pub until: Instant,
}

#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    #[error("lookup: no address")]
    NoAddress,
    #[error("lookup: {0}")]
    Failed(String),
}

/// Keeps the addresses of all that is wanted up to date, until nobody wants anything any more.
pub async fn resolve(
    lookup: impl Lookup,
    mut wanted: watch::Receiver<Arc<[External]>>,
    resolved: watch::Sender<Arc<Resolved>>,
) {
    let mut names = Names::default();
    let mut asked = FuturesUnordered::new();
    wanted.mark_changed();
    loop {
        let room = AT_A_TIME.saturating_sub(asked.len());
        for name in names.due(clock::now(), room) {
            let answer = lookup.lookup(Arc::clone(&name));
            asked.push(async move { (name, answer.await) });
        }
        // With nothing due, or no room to ask, the next answer comes first.
        let next = names.next().filter(|_| asked.len() < AT_A_TIME);
        let changed = tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let externals = Arc::clone(&wanted.borrow_and_update());
                names.follow(&externals)
            }
            Some((name, found)) = asked.next(), if !asked.is_empty() => {
                if let Err(error) = &found {
                    tracing::warn!(name = %name, "{error}; the last addresses are kept, if there are any");
                }
                names.answered(&name, found.ok(), clock::now())
            }
            () = sleep_until(next.unwrap_or_else(clock::now)), if next.is_some() => false,
        };
        if changed {
            resolved.send_replace(Arc::new(names.resolved()));
        }
    }
}

/// Names that are asked for at a time.
const AT_A_TIME: usize = 16;

#[cfg(test)]
mod tests;
