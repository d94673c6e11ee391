//! What is known of the statuses of Ingresses, and which have to be looked at.
//!
//! Three sides write here, and none waits: the engine, which Ingresses are served; the watch, what
//! their statuses are; the source of addresses, what they should be. What differs is found when
//! its turn comes, so that an Ingress that changed often is written once, and one that is as it
//! should be costs nothing. A single change goes before the many that new addresses bring, and what
//! failed waits on its own.

mod left;
mod queue;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::model::address::{Address, Published, Sighting};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::plan::status::{Step, step};
use crate::project::standing::Standing;
use crate::status::board::left::Left;
use crate::status::board::queue::Queue;

pub(super) use left::Failure;

/// Handed around; each clone of the pointer is the same board.
#[derive(Debug, Default)]
pub(super) struct Board {
    known: watch::Sender<Known>,
}

#[derive(Debug, Default)]
struct Known {
    served: BTreeSet<ObjectKey>,
    published: BTreeMap<ObjectKey, Published>,
    wanted: Option<Arc<[Address]>>,
    take_over: bool,
    /// What changed by itself.
    changed: Queue,
    /// What new addresses made different, and what is tried again.
    others: Queue,
    /// What is not tried again yet.
    left: Left,
    /// Which Ingresses are served is known. Before, one that we wrote may seem not to be ours.
    complete: bool,
    /// Nothing is to be written.
    silent: bool,
    /// Somebody writes; without, nothing is remembered.
    written: bool,
    ended: bool,
}

/// A status to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) key: ObjectKey,
    pub(super) uid: Arc<str>,
    /// The object's resource version, as it was seen last.
    pub(super) version: u64,
    /// [`Step::Nothing`] is never due.
    pub(super) step: Step,
    /// Empty to take away.
    pub(super) addresses: Arc<[Address]>,
    /// Who else wrote it.
    pub(super) others: Option<Box<str>>,
}

impl Board {
    /// Begins with which Ingresses are served.
    pub(super) fn of<'a>(standings: impl Iterator<Item = (&'a ObjectKey, &'a Standing)>) -> Self {
        let served = standings.filter(|(key, standing)| is_ours(key) && standing.served);
        let known = Known {
            served: served.map(|(key, _)| key.clone()).collect(),
            ..Known::default()
        };
        Self {
            known: watch::Sender::new(known),
        }
    }

    /// Somebody will write, over others or not.
    pub(super) fn open(&self, take_over: bool) {
        self.known.send_modify(|known| {
            known.written = true;
            known.take_over = take_over;
        });
    }

    /// An Ingress stands so now.
    pub(super) fn stands(&self, key: &ObjectKey, standing: Option<&Standing>) {
        if !is_ours(key) {
            return;
        }
        let served = standing.is_some_and(|standing| standing.served);
        self.known.send_if_modified(|known| {
            let changed = if served {
                known.served.insert(key.clone())
            } else {
                known.served.remove(key)
            };
            changed && known.look_at(key)
        });
    }

    /// Which Ingresses are served is known as a whole.
    pub(super) fn complete(&self) {
        self.known.send_modify(|known| known.complete = true);
    }

    /// Has nothing be written, or again what is not as it should be.
    pub(super) fn silence(&self, silent: bool) {
        self.known.send_if_modified(|known| {
            let ends = known.silent && !silent;
            known.silent = silent;
            ends && known.look_at_all()
        });
    }

    /// The watch saw this.
    pub(super) fn see(&self, sighting: Sighting) {
        self.known.send_if_modified(|known| known.see(sighting));
    }

    /// Ingresses should have these addresses; none: that is not known.
    pub(super) fn want(&self, addresses: Option<Arc<[Address]>>) {
        self.known.send_if_modified(|known| {
            if known.wanted == addresses {
                return false;
            }
            known.wanted = addresses;
            known.look_at_all()
        });
    }

    /// It was written, and the server says that it stands so now. Whether that is something else,
    /// which is left, and was not so before.
    pub(super) fn wrote(&self, due: Due, published: Published) -> bool {
        let mut altered = false;
        self.known.send_if_modified(|known| {
            let done = match due.step {
                Step::Clear => !published.ours || published.addresses.is_empty(),
                Step::Nothing | Step::Taken | Step::Write => published.addresses == due.addresses,
            };
            if done {
                known.left.forget(&due.key);
            } else {
                altered = true;
                known.left.altered(&due, published.addresses.clone());
            }
            known.see(Sighting::Is(due.key, published))
        });
        altered
    }

    /// It could not be written, and is left for a while, or until it changes. How often that was
    /// so, for this object as it is.
    pub(super) fn failed(&self, due: &Due, failure: Failure) -> u32 {
        let mut times = 0;
        self.known.send_if_modified(|known| {
            times = known.left.failed(due, failure, Instant::now());
            false
        });
        times
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        self.known.send_modify(|known| known.ended = true);
    }

    /// The next status that is not as it should be, once there is one; none at the end.
    pub(super) async fn next(&self) -> Option<Due> {
        let mut coming = self.known.subscribe();
        loop {
            // Before the look at what is due, so that nothing comes unseen between the two.
            let ended = coming.borrow_and_update().ended;
            if ended {
                return None;
            }
            let (mut due, mut again) = (None, None);
            self.known.send_if_modified(|known| {
                due = known.take(Instant::now());
                again = known.left.next();
                false
            });
            if due.is_some() {
                return due;
            }
            tokio::select! {
                // It fails only when there is no board any more.
                changed = coming.changed() => changed.ok()?,
                () = until(again) => {}
            }
        }
    }
}

impl Known {
    fn look_at_all(&mut self) -> bool {
        for key in self.published.keys() {
            self.others.push(key);
        }
        true
    }

    fn look_at(&mut self, key: &ObjectKey) -> bool {
        self.written && self.due(key).is_some() && self.changed.push(key)
    }

    fn see(&mut self, sighting: Sighting) -> bool {
        if !self.written {
            return false;
        }
        match sighting {
            Sighting::Is(key, published) => {
                let known = self.published.get(&key);
                let older = known.is_some_and(|known| {
                    known.uid == published.uid
                        && known.resource_version > published.resource_version
                });
                if older {
                    return false;
                }
                self.published.insert(key.clone(), published);
                self.look_at(&key)
            }
            Sighting::Gone(key) => {
                self.published.remove(&key);
                self.left.forget(&key);
                false
            }
            Sighting::All(keys) => {
                self.published.retain(|key, _| keys.contains(key));
                self.left.retain(&keys);
                false
            }
        }
    }

    /// What is to be done about it, if anything is now.
    fn due(&self, key: &ObjectKey) -> Option<Due> {
        let published = self.published.get(key)?;
        let wanted = self.wanted.as_deref();
        let served = self.served.contains(key);
        let step = step(served, wanted, published, self.take_over);
        let addresses = match step {
            Step::Nothing => return None,
            Step::Write | Step::Taken => self.wanted.clone().unwrap_or_default(),
            Step::Clear => Arc::default(),
        };
        let due = Due {
            key: key.clone(),
            uid: published.uid.clone(),
            version: published.resource_version,
            step,
            addresses,
            others: published.others.clone(),
        };
        (!self.left.covers(&due, published)).then_some(due)
    }

    fn take(&mut self, now: Instant) -> Option<Due> {
        while let Some(key) = self.left.pop(now) {
            self.others.push(&key);
        }
        if self.silent || !self.complete {
            return None;
        }
        loop {
            let key = self.changed.pop().or_else(|| self.others.pop())?;
            let Some(due) = self.due(&key) else { continue };
            if due.step == Step::Taken {
                self.left.taken(&due);
            }
            return Some(due);
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// A folder's Ingresses have no status that anyone reads.
fn is_ours(key: &ObjectKey) -> bool {
    (key.origin, key.kind) == (Origin::Kubernetes, Kind::Ingress)
}
