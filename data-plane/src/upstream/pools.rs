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

use super::{Permit, Pool, permit::Count};
use crate::active::{Endpoint, UpstreamTable};
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
    endpoints: Arc<[Endpoint]>,
    pools: Box<[Rc<Pool>]>,
    /// Where the next request begins.
    turn: Cell<usize>,
}

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

    /// The pools of the upstream `id`, which has these endpoints now.
    pub fn of(&self, id: UpstreamId, endpoints: &Arc<[Endpoint]>) -> Rc<UpstreamPools> {
        let mut slots = self.slots.borrow_mut();
        let index = id.index as usize;
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        let Some(slot) = slots.get_mut(index) else {
            return self.build(id, endpoints, None);
        };
        match slot {
            Some(known) if known.id == id && Arc::ptr_eq(&known.endpoints, endpoints) => {
                Rc::clone(known)
            }
            Some(_) | None => {
                let known = slot.take().filter(|known| known.id == id);
                Rc::clone(slot.insert(self.build(id, endpoints, known.as_ref())))
            }
        }
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
        id: UpstreamId,
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
            id,
            endpoints: Arc::clone(endpoints),
            pools,
            turn: Cell::new(known.map_or(self.first_turn, |known| known.turn.get())),
        })
    }
}
