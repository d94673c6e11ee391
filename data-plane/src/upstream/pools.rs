//! One thread's pools, by upstream.
//!
//! Apart from the snapshot's table of upstreams: what a thread keeps of an upstream survives
//! versions, and is looked up by a small number.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use smallvec::SmallVec;

use super::{Permit, Pool, ProcessConnections, permit::Count};
use crate::active::{Endpoint, Target, Upstream, UpstreamTable};
use crate::balance::Subset;
use crate::clock::Ticks;
use crate::router::UpstreamId;
use crate::thread::Thread;

/// What the pools of a process' threads have in common.
#[derive(Clone, Debug, Default)]
pub struct PoolOptions {
    /// Any number, not that of other processes.
    pub seed: u64,
    pub connections: ProcessConnections,
}

/// The pools of all upstreams.
#[derive(Debug)]
pub struct Pools {
    thread: Rc<Thread>,
    /// The thread's number. The turns of an upstream do not begin where those of others do.
    index: usize,
    options: PoolOptions,
    open: Count,
    slots: RefCell<Vec<Option<Rc<UpstreamPools>>>>,
}

/// The pools of one upstream, in the order of its endpoints; of a large one, those that this
/// thread uses for now.
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
    subset: Subset,
    /// When the subset moves on.
    moves: Ticks,
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
    /// The pools of the thread of this number.
    pub fn new(thread: Rc<Thread>, index: usize, options: PoolOptions) -> Self {
        Self {
            thread,
            index,
            options,
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
            let subset = self.subset(endpoints, None);
            return self.build(upstream, (endpoints, subset), None);
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
                let subset = self.subset(endpoints, known.as_deref());
                slot.insert(self.build(upstream, (endpoints, subset), known.as_ref()))
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
        if self.open.get() >= limits.connections_per_thread || self.is_process_full() {
            self.close_oldest();
        }
        if self.open.get() >= limits.connections_per_thread {
            return None;
        }
        let of_process = &self.options.connections;
        Permit::new(pool.open(), &self.open, of_process, &self.thread)
    }

    /// Closes unused connections whose time is over, and drops what belongs to upstreams and
    /// endpoints that are gone, or that this thread uses no more for now. Connections in use finish
    /// what they do.
    pub fn sweep(&self, upstreams: &UpstreamTable) {
        let now = self.thread.clock.ticks();
        for slot in self.slots.borrow_mut().iter_mut() {
            let Some(known) = slot else { continue };
            match upstreams.find(known.id) {
                None => *slot = None,
                Some(upstream) if known.moves <= now => {
                    let window = (&known.endpoints, known.subset.moved());
                    let moved = self.build(upstream, window, Some(known));
                    moved.seen.set(known.seen.get());
                    *known = moved;
                }
                Some(_) => known.pools.iter().for_each(|pool| pool.sweep(now)),
            }
        }
        if self.is_process_full() {
            // It may be another thread that needs one.
            self.close_oldest();
        }
    }

    fn is_process_full(&self) -> bool {
        self.options.connections.get() >= self.thread.limits.upstream.connections_per_process
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

    /// The part of the endpoints that is used: still that which was, as far as it is there.
    fn subset(&self, endpoints: &Arc<[Endpoint]>, known: Option<&UpstreamPools>) -> Subset {
        let begun = known.filter(|known| !known.subset.is_whole());
        let mut kept = begun.into_iter().flat_map(|known| known.pools.iter());
        let place = |pool: &Rc<Pool>| endpoints.iter().position(|e| *e == pool.endpoint);
        match kept.find_map(place) {
            Some(first) => Subset::new(endpoints.len(), first),
            None => Subset::of_thread(endpoints.len(), self.options.seed, self.index),
        }
    }

    fn build(
        &self,
        upstream: &Upstream,
        (endpoints, subset): (&Arc<[Endpoint]>, Subset),
        known: Option<&Rc<UpstreamPools>>,
    ) -> Rc<UpstreamPools> {
        let mut kept: HashMap<&Endpoint, &Rc<Pool>> = known
            .into_iter()
            .flat_map(|known| known.pools.iter())
            .map(|pool| (&pool.endpoint, pool))
            .collect();
        let pools = subset
            .places()
            .filter_map(|place| endpoints.get(place))
            .map(|endpoint| match kept.remove(endpoint) {
                Some(pool) => Rc::clone(pool),
                None => Pool::new(endpoint.clone(), Rc::clone(&self.thread)),
            })
            .collect();
        Rc::new(UpstreamPools {
            id: upstream.id,
            seen: Cell::new(0),
            turn: Cell::new(known.map_or(self.index, |known| known.turn.get())),
            pools,
            no_local: no_local(&upstream.target),
            endpoints: Arc::clone(endpoints),
            subset,
            moves: match subset.is_whole() {
                true => Ticks::NEVER,
                false => self.thread.clock.ticks().after(MOVES),
            },
        })
    }
}

fn no_local(target: &Target) -> bool {
    match target {
        Target::Discovered => false,
        Target::External { allow_local, .. } => !allow_local,
    }
}

/// How long a thread uses the same endpoints of a large upstream: with an eighth of them new each
/// time, each is used for four minutes, which is long beside what it costs to connect.
const MOVES: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
