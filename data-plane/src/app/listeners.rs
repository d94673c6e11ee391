//! Which ports to open and close so that those that are wanted are open.
//!
//! Apart from sockets and threads, because the order matters and can be wrong: a listener
//! that moves to a port that cannot be had keeps the one that it has.

use std::{collections::BTreeMap, sync::Arc};

use tracing::info;

use crate::snapshot::{Fault, Listener, Reason};

/// Opens and closes ports.
pub(super) trait Ports {
    /// What was bound and is not yet served.
    type Bound;

    /// Takes the address, or says why it cannot be had.
    fn bind(&mut self, listener: &Listener) -> Result<Self::Bound, Fault>;

    /// Serves on what was bound.
    fn open(&mut self, listener: &Arc<Listener>, bound: Self::Bound) -> impl Future<Output = ()>;

    /// Takes over all but the address from the listener as it is now.
    fn change(&mut self, listener: &Arc<Listener>) -> impl Future<Output = ()>;

    /// Serves no more, and leaves the address.
    fn close(&mut self, listener: &Arc<Listener>) -> impl Future<Output = ()>;
}

/// The listeners that are open.
#[derive(Debug)]
pub(super) struct Listeners<P> {
    ports: P,
    open: BTreeMap<Arc<str>, Arc<Listener>>,
}

impl<P: Ports> Listeners<P> {
    pub(super) fn new(ports: P) -> Self {
        Self {
            ports,
            open: BTreeMap::new(),
        }
    }

    /// What opens them.
    pub(super) fn ports(&mut self) -> &mut P {
        &mut self.ports
    }

    /// Those that are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Opens and closes until the wanted ones are open. Returns what is wrong with those that
    /// are not, or not where they are wanted.
    pub(super) async fn set(&mut self, wanted: &[Arc<Listener>]) -> BTreeMap<Arc<str>, Fault> {
        self.close_unwanted(wanted).await;
        let mut faults = BTreeMap::new();
        let mut waiting = Vec::new();
        for listener in wanted {
            match self.open.get(&listener.name) {
                Some(open) if open == listener => continue,
                // Nobody is cut for it.
                Some(open) if open.is_at_the_door_of(listener) => {
                    self.change(listener).await;
                    continue;
                }
                // What is spoken there is another thing from the next connection on.
                Some(open) if open.address == listener.address => {
                    let open = Arc::clone(open);
                    self.close(&open).await;
                }
                Some(_) | None => {}
            }
            if let Err(fault) = self.move_to(listener).await {
                faults.insert(listener.name.clone(), fault);
                waiting.push(listener);
            }
        }
        if self.in_each_others_way(&waiting, &faults) {
            self.exchange(&waiting, &mut faults).await;
        }
        faults
    }

    async fn close_unwanted(&mut self, wanted: &[Arc<Listener>]) {
        let is_wanted = |name: &Arc<str>| wanted.iter().any(|listener| listener.name == *name);
        let gone = |open: &&Arc<Listener>| !is_wanted(&open.name);
        let gone: Vec<_> = self.open.values().filter(gone).cloned().collect();
        for listener in gone {
            self.close(&listener).await;
        }
    }

    /// Opens the listener at its new address before it leaves the old one.
    async fn move_to(&mut self, listener: &Arc<Listener>) -> Result<(), Fault> {
        let bound = self.ports.bind(listener)?;
        if let Some(old) = self.open.get(&listener.name).cloned() {
            self.close(&old).await;
        }
        self.ports.open(listener, bound).await;
        info!(listener = %listener.name, address = %listener.address, "listener open");
        self.open.insert(listener.name.clone(), listener.clone());
        Ok(())
    }

    async fn change(&mut self, listener: &Arc<Listener>) {
        self.ports.change(listener).await;
        info!(listener = %listener.name, address = %listener.address, "listener changed");
        self.open.insert(listener.name.clone(), listener.clone());
    }

    async fn close(&mut self, listener: &Arc<Listener>) {
        self.ports.close(listener).await;
        info!(listener = %listener.name, address = %listener.address, "listener closed");
        self.open.remove(&listener.name);
    }

    /// Whether a port that cannot be had is one that another waiting listener would leave.
    fn in_each_others_way(
        &self,
        waiting: &[&Arc<Listener>],
        faults: &BTreeMap<Arc<str>, Fault>,
    ) -> bool {
        let is_taken = |listener: &Arc<Listener>| {
            let fault = faults.get(&listener.name);
            fault.is_some_and(|fault| fault.reason == Reason::AddressInUse)
        };
        let leaves = |port| {
            let old = waiting.iter().filter_map(|new| self.open.get(&new.name));
            old.map(|old| old.address.port()).any(|left| left == port)
        };
        let mut taken = waiting.iter().filter(|listener| is_taken(listener));
        taken.any(|listener| leaves(listener.address.port()))
    }

    /// Closes the waiting listeners and opens them where they are wanted, or else where they
    /// were.
    async fn exchange(
        &mut self,
        waiting: &[&Arc<Listener>],
        faults: &mut BTreeMap<Arc<str>, Fault>,
    ) {
        let mut left = Vec::new();
        for listener in waiting {
            if let Some(old) = self.open.get(&listener.name).cloned() {
                self.close(&old).await;
                left.push(old);
            }
        }
        for listener in waiting {
            match self.move_to(listener).await {
                Ok(()) => faults.remove(&listener.name),
                Err(fault) => faults.insert(listener.name.clone(), fault),
            };
        }
        for old in left {
            if !self.open.contains_key(&old.name) {
                // If that cannot be had any more either, the fault says why the new one cannot.
                let _: Result<(), _> = self.move_to(&old).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
