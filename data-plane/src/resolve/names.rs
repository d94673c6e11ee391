//! Which names are needed, what is known of each, and when to ask again.
//!
//! Pure, and apart from the asking: time is an argument.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::{Found, Resolved};
use crate::active::{Endpoint, Target, Upstream};
use crate::router::UpstreamId;

/// An upstream whose addresses have to be looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct External {
    pub id: UpstreamId,
    pub hostname: Arc<str>,
    pub port: u16,
}

impl External {
    /// None if the upstream's addresses come with the snapshot.
    pub fn of(upstream: &Upstream) -> Option<Self> {
        match &upstream.target {
            Target::Discovered => None,
            Target::External { hostname, port, .. } => Some(Self {
                id: upstream.id,
                hostname: Arc::clone(hostname),
                port: *port,
            }),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Names {
    names: BTreeMap<Arc<str>, Name>,
    upstreams: BTreeMap<(u32, u32), Known>,
}

#[derive(Debug)]
struct Known {
    hostname: Arc<str>,
    port: u16,
    /// Made once per change: whoever compares by place sees that nothing changed.
    endpoints: Option<Arc<[Endpoint]>>,
}

#[derive(Debug, Default)]
struct Name {
    /// In order; empty if nothing was ever found.
    addresses: Vec<IpAddr>,
    /// It was asked for, with whatever result.
    known: bool,
    /// None while it is being asked for; the first time is at once.
    due: Option<Instant>,
    asked: bool,
    failures: u32,
}

impl Names {
    /// From now on exactly these are needed. True if what is known of them changed by that.
    pub(super) fn follow(&mut self, externals: &[External]) -> bool {
        let mut before = std::mem::take(&mut self.upstreams);
        let had = before.len();
        let mut kept = 0;
        for external in externals {
            let External { id, hostname, port } = external;
            let known = before
                .remove(&(id.index, id.generation))
                .filter(|known| known.hostname == *hostname && known.port == *port);
            kept += usize::from(known.is_some());
            let known = known.unwrap_or_else(|| Known {
                hostname: Arc::clone(hostname),
                port: *port,
                endpoints: None,
            });
            self.upstreams.insert((id.index, id.generation), known);
            self.names.entry(Arc::clone(hostname)).or_default();
        }
        let wanted: BTreeSet<&Arc<str>> = externals
            .iter()
            .map(|external| &external.hostname)
            .collect();
        self.names.retain(|name, _| wanted.contains(name));
        let fresh = self.refresh();
        fresh || kept < had
    }

    /// At most `room` names that are to be asked for now.
    pub(super) fn due(&mut self, now: Instant, room: usize) -> Vec<Arc<str>> {
        let due = |name: &Name| !name.asked && name.due.is_none_or(|due| due <= now);
        self.names
            .iter_mut()
            .filter(|(_, name)| due(name))
            .take(room)
            .map(|(text, name)| {
                name.asked = true;
                Arc::clone(text)
            })
            .collect()
    }

    /// When the next name is due.
    pub(super) fn next(&self) -> Option<Instant> {
        let waiting = self.names.values().filter(|name| !name.asked);
        waiting.filter_map(|name| name.due).min()
    }

    /// An answer has come, or none. True if what is known changed by that.
    pub(super) fn answered(&mut self, text: &str, found: Option<Found>, now: Instant) -> bool {
        // Nobody may need it any more.
        let Some(name) = self.names.get_mut(text) else {
            return false;
        };
        name.asked = false;
        let Some(Found {
            mut addresses,
            until,
        }) = found
        else {
            let pause = FIRST_PAUSE.saturating_mul(1 << name.failures.min(8));
            name.failures += 1;
            name.due = Some(now + pause.min(LAST_PAUSE));
            // Requests need not wait for what is known to fail.
            name.known = true;
            return self.refresh();
        };
        name.known = true;
        name.failures = 0;
        name.due = Some(until.clamp(now + SHORTEST, now + LONGEST));
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        if name.addresses == addresses {
            return false;
        }
        name.addresses = addresses;
        for known in self.upstreams.values_mut() {
            if *known.hostname == *text {
                known.endpoints = None;
            }
        }
        self.refresh()
    }

    pub(super) fn resolved(&self) -> Resolved {
        self.upstreams
            .iter()
            .filter_map(|(&(index, generation), known)| {
                let id = UpstreamId { index, generation };
                Some((id, Arc::clone(known.endpoints.as_ref()?)))
            })
            .collect()
    }

    /// Makes the endpoints of upstreams that have none yet and whose name is known.
    fn refresh(&mut self) -> bool {
        let mut changed = false;
        for known in self.upstreams.values_mut() {
            let name = self.names.get(&known.hostname);
            let Some(name) = name.filter(|name| name.known) else {
                continue;
            };
            if known.endpoints.is_none() {
                let endpoint = |address: &IpAddr| Endpoint {
                    address: SocketAddr::new(*address, known.port),
                    uid: Arc::default(),
                };
                known.endpoints = Some(name.addresses.iter().map(endpoint).collect());
                changed = true;
            }
        }
        changed
    }
}

/// However short an answer's life, it is not asked for more often than this.
const SHORTEST: Duration = Duration::from_secs(1);

/// However long an answer's life, it is asked for again after this.
const LONGEST: Duration = Duration::from_secs(300);

/// After a first failure; doubled with each one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Of one name.
const MAX_ADDRESSES: usize = 64;
