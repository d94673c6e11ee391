//! One thread's pools, by upstream.
//!
//! Apart from the snapshot's table of upstreams: what a thread keeps of an upstream survives
//! versions, and is looked up by a small number.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
};

use smallvec::SmallVec;

use super::{Permit, Pool, permit::Count};
use crate::active::{Endpoint, Target, Upstream, UpstreamTable};
use crate::router::UpstreamId;
use crate::thread::Thread;

/// The pools of all upstreams.
#[derive(Debug)]
pub struct Pools {
    thread: Rc<Thread>,
    /// Where the turns of an upstream begin here: not where those of other threads do.
    first_turn: usize,
    open: Count,
    slots: RefCell<Vec<Option<Rc<UpstreamPools>>>>,
}

/// The pools of one upstream, in the order of its endpoints.
#[derive(Debug)]
pub struct UpstreamPools {
    id: UpstreamId,
    /// The version of this thread's in which these were found to be its endpoints.
    seen: Cell<Serial>,
    /// Where the next request begins.
    turn: Cell<usize>,
    pools: SmallVec<[Rc<Pool>; 1]>,
    /// An external name must not lead to a local address.
    no_local: bool,
    endpoints: Arc<[Endpoint]>,
}

/// Counts the versions that a thread has served by; never 0.
pub type Serial = u64;

impl UpstreamPools {
    pub fn len(&self) -> usize {
        self.pools.len()
    }

    pub fn is_empty(&self) -> bool {
        self.pools.is_empty()
    }

    pub fn get(&self, place: usize) -> Option<&Rc<Pool>> {
        self.pools.get(place)
    }

    /// Whether an external name must not lead to a local address.
    pub fn no_local(&self) -> bool {
        self.no_local
    }

    /// Counts up with each call.
    pub fn turn(&self) -> usize {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }
}

impl Pools {
    pub fn new(thread: Rc<Thread>, first_turn: usize) -> Self {
        Self {
            thread,
            first_turn,
            open: Count::default(),
            slots: RefCell::new(Vec::new()),
        }
    }

    /// The pools of the upstream `id`, if they are known to be those of the version `serial`:
    /// then neither the upstream nor its endpoints need to be looked at.
    pub fn known(&self, id: UpstreamId, serial: Serial) -> Option<Rc<UpstreamPools>> {
        let slots = self.slots.borrow();
        let known = slots.get(id.index as usize)?.as_ref()?;
        (known.id == id && known.seen.get() == serial).then(|| Rc::clone(known))
    }

    /// The pools of an upstream that has these endpoints now.
    pub fn of(
        &self,
        upstream: &Upstream,
        endpoints: &Arc<[Endpoint]>,
        serial: Serial,
    ) -> Rc<UpstreamPools> {
        let id = upstream.id;
        let mut slots = self.slots.borrow_mut();
        let index = id.index as usize;
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        let Some(slot) = slots.get_mut(index) else {
            return self.build(upstream, endpoints, None);
        };
        let no_local = no_local(&upstream.target);
        let pools = match slot {
            Some(known)
                if known.id == id
                    && known.no_local == no_local
                    && Arc::ptr_eq(&known.endpoints, endpoints) =>
            {
                known
            }
            Some(_) | None => {
                let known = slot.take().filter(|known| known.id == id);
                slot.insert(self.build(upstream, endpoints, known.as_ref()))
            }
        };
        // The addresses of an external name change without a version.
        if matches!(upstream.target, Target::Discovered) {
            pools.seen.set(serial);
        }
        Rc::clone(pools)
    }

    /// Leave to make one more connection to the pool's endpoint, if there is room for it in
    /// every count. Connections that nobody uses give way.
    pub fn permit(&self, pool: &Pool) -> Option<Permit> {
        let limits = &self.thread.limits.upstream;
        if pool.open().get() >= limits.connections_per_endpoint {
            return None;
        }
        if self.open.get() >= limits.connections_per_thread {
            self.close_oldest();
        }
        (self.open.get() < limits.connections_per_thread)
            .then(|| Permit::new(pool.open(), &self.open, &self.thread))
    }

    /// Closes unused connections whose time is over, and drops what belongs to upstreams and
    /// endpoints that are gone. Connections in use finish what they do.
    pub fn sweep(&self, upstreams: &UpstreamTable) {
        let now = self.thread.clock.ticks();
        for slot in self.slots.borrow_mut().iter_mut() {
            let Some(known) = slot else { continue };
            match upstreams.find(known.id) {
                None => *slot = None,
                Some(_) => known.pools.iter().for_each(|pool| pool.sweep(now)),
            }
        }
    }

    /// Closes those that have been unused for longest: all of one tick, since to find them is a
    /// look at every pool.
    fn close_oldest(&self) {
        let slots = self.slots.borrow();
        let pools = || slots.iter().flatten().flat_map(|known| known.pools.iter());
        if let Some(oldest) = pools().filter_map(|pool| pool.oldest()).min() {
            pools().for_each(|pool| pool.close_until(oldest));
        }
    }

    fn build(
        &self,
        upstream: &Upstream,
        endpoints: &Arc<[Endpoint]>,
        known: Option<&Rc<UpstreamPools>>,
    ) -> Rc<UpstreamPools> {
        let mut kept: HashMap<&Endpoint, &Rc<Pool>> = known
            .into_iter()
            .flat_map(|known| known.pools.iter())
            .map(|pool| (&pool.endpoint, pool))
            .collect();
        let pools = endpoints
            .iter()
            .map(|endpoint| match kept.remove(endpoint) {
                Some(pool) => Rc::clone(pool),
                None => Pool::new(endpoint.clone(), Rc::clone(&self.thread)),
            })
            .collect();
        Rc::new(UpstreamPools {
            id: upstream.id,
            seen: Cell::new(0),
            turn: Cell::new(known.map_or(self.first_turn, |known| known.turn.get())),
            pools,
            no_local: no_local(&upstream.target),
            endpoints: Arc::clone(endpoints),
        })
    }
}

fn no_local(target: &Target) -> bool {
    match target {
        Target::Discovered => false,
        Target::External { allow_local, .. } => !allow_local,
    }
}
