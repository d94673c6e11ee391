//! The bundles of chain and private key that this replica holds: in memory, and nowhere else.
//!
//! Apart from who puts them there (sources, and other replicas by way of `follow`) and who is
//! given them (proxies and other replicas by way of `serve`), so that none of these knows of
//! another.

mod references;
mod shelf;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::keys::shelf::Shelf;
use crate::model::bundle::{Bundle, BundleName};
use crate::snapshot::publication::Publication;

/// A handle on them. A clone is another handle.
///
/// What is published refers to is never forgotten. What it does not is kept for ten minutes after
/// it was put here or last referred to, because an object is seen before it is published, and at
/// most 20,000 of it and 128 MiB; the oldest go first.
#[derive(Clone)]
pub struct Keys {
    shelf: Arc<watch::Sender<Shelf>>,
    clock: fn() -> Duration,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub held: usize,
    /// What is published refers to them, and they are not here.
    pub missing: usize,
}

/// What is referred to and not held, now and whenever that changes.
#[derive(Clone, Debug)]
pub struct Missing {
    shelf: watch::Receiver<Shelf>,
}

impl Keys {
    /// None yet. The clock must never be put back.
    pub fn new(clock: fn() -> Duration) -> Self {
        Self {
            shelf: Arc::new(watch::Sender::new(Shelf::default())),
            clock,
        }
    }

    /// Holds a bundle from now on, or for longer.
    pub fn put(&self, bundle: Bundle) {
        let now = (self.clock)();
        self.shelf.send_if_modified(|shelf| shelf.put(bundle, now));
    }

    /// A bundle, whether anything refers to it or not.
    pub fn get(&self, name: BundleName) -> Option<Bundle> {
        self.shelf.borrow().get(name)
    }

    /// A bundle, if what is published refers to it, or did within the last minute: a proxy may be
    /// behind.
    pub fn served(&self, name: BundleName) -> Option<Bundle> {
        let now = (self.clock)();
        self.shelf.borrow().served(name, now)
    }

    /// Takes in what this publication refers to, unless it knows of a newer one.
    pub fn follow(&self, publication: &Publication) {
        if !self.shelf.borrow().is_behind(publication) {
            return;
        }
        let now = (self.clock)();
        self.shelf
            .send_if_modified(|shelf| shelf.follow(publication, now));
    }

    /// What is missing.
    pub fn missing(&self) -> Missing {
        Missing {
            shelf: self.shelf.subscribe(),
        }
    }

    /// How many there are now.
    pub fn count(&self) -> Count {
        self.shelf.borrow().count()
    }

    /// Follows what is published and forgets what nothing refers to, for as long as something is.
    pub async fn run(self, mut publications: watch::Receiver<Arc<Publication>>) {
        loop {
            let publication = Arc::clone(&publications.borrow_and_update());
            self.follow(&publication);
            tokio::select! {
                changed = publications.changed() => if changed.is_err() {
                    return;
                },
                () = sleep(FORGET_EVERY) => {
                    let now = (self.clock)();
                    self.shelf.send_if_modified(|shelf| {
                        shelf.forget(now);
                        false
                    });
                }
            }
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Keys").field(&self.count()).finish()
    }
}

impl Missing {
    /// Their names.
    pub fn now(&mut self) -> BTreeSet<BundleName> {
        self.shelf.borrow_and_update().missing().clone()
    }

    /// Waits until there are others than there were; `false`: there will be none.
    pub async fn changed(&mut self) -> bool {
        self.shelf.changed().await.is_ok()
    }
}

/// An idle replica forgets, too.
const FORGET_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
