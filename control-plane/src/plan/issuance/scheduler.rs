//! Which certificate is to be looked at now: who waits for a time, for the proxies, for the CA's
//! limits, or for a place.
//!
//! Without calls, clock and store: what is due is taken from here one by one, and put back with
//! what came of it. What changes costs what it concerns; nothing here looks at all certificates.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::key::ObjectKey;
use crate::model::managed::Managed;
use crate::model::time::Timestamp;
use crate::plan::issuance::answering::{Answering, BOUNDS};
use crate::plan::issuance::ledger::{Limit, WEEK};
use crate::plan::issuance::queue::Queue;
use crate::plan::issuance::{Circumstances, LONGEST, Next, next};

/// What is scheduled: a certificate, with whatever belongs to it where it is kept.
pub trait Item: Clone {
    fn managed(&self) -> &Managed;

    /// One for the same names of which nothing is done yet.
    #[must_use]
    fn anew(&self) -> Self;
}

/// All certificates that are kept or wanted.
#[derive(Debug)]
pub struct Scheduler<T> {
    limits: Limits,
    entries: BTreeMap<ObjectKey, Entry<T>>,
    /// Those that wait for a time.
    due: BTreeSet<(Timestamp, ObjectKey)>,
    /// Those that wait for the proxies.
    at_barrier: BTreeSet<ObjectKey>,
    /// Those for which an order is to be placed.
    queue: Queue,
    /// Those that something changed for.
    changed: BTreeSet<ObjectKey>,
    /// When the certificates expire that there are.
    issued: BTreeSet<(Timestamp, ObjectKey)>,
    /// Those of which an order is under way.
    ordered: BTreeSet<ObjectKey>,
    /// Those whose last order came to nothing.
    failing: BTreeSet<ObjectKey>,
    /// The CA is left alone until then.
    quiet: Timestamp,
}

/// What a CA takes of one account, and of the same names; and what of ours is slow.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub orders: u32,
    pub same_names: u32,
    /// How long it may take until a Secret is known that an Ingress names, in milliseconds.
    pub settled: i64,
}

/// One certificate.
#[derive(Clone, Debug)]
pub struct Entry<T> {
    pub kept: T,
    /// Of what is stored of it; `None` before anything is.
    pub revision: Option<Box<str>>,
    /// What is kept of it is not stored, and nothing else is done before it is; what was kept
    /// before.
    unsaved: Option<Box<T>>,
    /// Since when somebody wants it.
    wanted: Option<Timestamp>,
    waits: Option<Timestamp>,
    /// In which place it stands among those for which an order is to be placed.
    urgency: Option<Timestamp>,
    /// Since when it waits for the proxies.
    barred: Option<Timestamp>,
    /// When an order was begun that is not kept yet.
    begun: Option<Timestamp>,
    /// Somebody is at it.
    taken: bool,
}

/// What somebody is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<T> {
    /// Store what is kept, over this.
    Save(Box<T>),
    Do(Next),
}

/// What is the same for all.
#[derive(Clone, Copy, Debug)]
pub struct Conditions<'a> {
    pub now: Timestamp,
    pub ca: &'a str,
    /// The CA suggests when to renew.
    pub suggests: bool,
}

/// How many certificates are in which state: one may be in several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// There is a certificate.
    pub issued: usize,
    /// An order is under way.
    pub ordered: usize,
    /// The last order came to nothing.
    pub failing: usize,
    /// An order waits for the proxies to answer.
    pub at_barrier: usize,
    /// An order waits for its turn, and for the CA's limits.
    pub queued: usize,
    /// When the first of those that there are expires.
    pub expires: Option<Timestamp>,
}

impl<T: Item> Scheduler<T> {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            entries: BTreeMap::new(),
            due: BTreeSet::new(),
            at_barrier: BTreeSet::new(),
            queue: Queue::new(limits.orders),
            changed: BTreeSet::new(),
            issued: BTreeSet::new(),
            ordered: BTreeSet::new(),
            failing: BTreeSet::new(),
            quiet: Timestamp(i64::MIN),
        }
    }

    /// A certificate that is stored.
    pub fn keep(&mut self, key: ObjectKey, kept: T, revision: Box<str>) {
        self.enter(key, kept, Some(revision), None, None);
    }

    /// Somebody wants this certificate now.
    pub fn want(&mut self, key: &ObjectKey, now: Timestamp, new: impl FnOnce() -> T) {
        match self.entries.get_mut(key) {
            Some(entry) => {
                entry.wanted.get_or_insert(now);
                self.changed.insert(key.clone());
            }
            None => self.enter(key.clone(), new(), None, Some(now), None),
        }
    }

    /// Nobody wants it any more.
    pub fn want_no_more(&mut self, key: &ObjectKey) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.wanted = None;
            self.changed.insert(key.clone());
        }
    }

    /// Those that wait for the proxies are to be looked at again.
    pub fn proxies_changed(&mut self) {
        self.changed.extend(self.at_barrier.iter().cloned());
    }

    /// Leaves the CA alone until then.
    pub fn be_quiet(&mut self, until: Timestamp) {
        self.quiet = self.quiet.max(until);
    }

    /// Whether any may have something to be done now.
    pub fn has_work(&self, now: Timestamp) -> bool {
        self.next_due(now).is_some_and(|time| time <= now)
    }

    /// When something is due next.
    pub fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.due.first().map(|(time, _)| *time);
        let order = self.queue.next(now).map(|(_, allowed)| allowed);
        let changed = self.changed.first().map(|_| Timestamp(i64::MIN));
        let next = due.into_iter().chain(order).chain(changed).min()?;
        Some(next.max(self.quiet))
    }

    /// What is next, with the certificate that it is for, which nobody else is given until it is
    /// put back.
    pub fn take(
        &mut self,
        conditions: &Conditions<'_>,
        answering: impl Fn(&ObjectKey, &T) -> Answering,
    ) -> Option<(ObjectKey, Entry<T>, Task<T>)> {
        let now = conditions.now;
        if self.quiet > now {
            return None;
        }
        while let Some((time, key)) = self.due.first().cloned() {
            if time > now {
                break;
            }
            self.due.remove(&(time, key.clone()));
            self.changed.insert(key);
        }
        while let Some(key) = self.changed.pop_first() {
            let Some((next, answers)) = self.look(&key, conditions, &answering) else {
                continue;
            };
            self.leave_queues(&key);
            let entry = self.entries.get_mut(&key)?;
            let is_barred = matches!(next, Task::Do(Next::Barrier));
            // Whoever is waited for is waited for since others answer.
            entry.barred =
                (is_barred && answers != Answering::Nobody).then(|| entry.barred.unwrap_or(now));
            match next {
                Task::Do(Next::Wait(time)) => {
                    entry.waits = Some(time);
                    self.due.insert((time, key));
                }
                Task::Do(Next::Barrier) => {
                    let bounds = BOUNDS.into_iter();
                    let bounds = bounds.filter_map(|bound| Some(entry.barred?.later(bound)));
                    // Else only proxies change anything, until the order is too old.
                    let order = entry.kept.managed().order.as_ref();
                    let end = order.map(|order| order.begun.later(LONGEST));
                    entry.waits = bounds.chain(end).find(|time| *time > now);
                    let due = entry.waits.map(|time| (time, key.clone()));
                    self.due.extend(due);
                    self.at_barrier.insert(key);
                }
                Task::Do(Next::Begin) => {
                    let urgency = urgency(entry.kept.managed(), entry.wanted).unwrap_or(now);
                    entry.urgency = Some(urgency);
                    self.queue.wait(&key, urgency);
                }
                Task::Do(Next::Forget) if entry.revision.is_none() => self.forget(&key),
                Task::Save(_) | Task::Do(Next::Abandon | Next::Forget | Next::Call(_)) => {
                    entry.taken = true;
                    return Some((key, entry.clone(), next));
                }
            }
        }
        self.take_order(now)
    }

    /// How many orders wait for the CA's limits, and until when.
    pub fn orders_waiting(&self, now: Timestamp) -> Option<(usize, Timestamp)> {
        let (_, allowed) = self.queue.next(now)?;
        (allowed > now).then_some((self.queue.len(), allowed))
    }

    /// Somebody was at it, and this is kept of it now; `None`: nothing.
    pub fn put(&mut self, key: &ObjectKey, kept: Option<(T, Option<Box<str>>)>) {
        let before = self.entries.get(key);
        let wanted = before.and_then(|entry| entry.wanted);
        let again = before.filter(|entry| entry.wanted.is_some());
        let again = again.map(|entry| (entry.kept.anew(), None));
        self.forget(key);
        if let Some((kept, revision)) = kept.or(again) {
            self.enter(key.clone(), kept, revision, wanted, None);
        }
    }

    /// Somebody was at it, and this is kept of it now and could not be stored over what was before:
    /// that is tried again then.
    pub fn put_unsaved(
        &mut self,
        key: &ObjectKey,
        (kept, revision): (T, Option<Box<str>>),
        before: Box<T>,
        again: Timestamp,
    ) {
        let wanted = self.entries.get(key).and_then(|entry| entry.wanted);
        self.forget(key);
        self.enter(key.clone(), kept, revision, wanted, Some(before));
        self.changed.remove(key);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.waits = Some(again);
            self.due.insert((again, key.clone()));
        }
    }

    /// Changes what is kept of one, which is stored before anything else is done with it; false while
    /// somebody is at it.
    pub fn change(&mut self, key: &ObjectKey, now: Timestamp, change: impl FnOnce(&mut T)) -> bool {
        let Some(entry) = self.entries.get(key).filter(|entry| !entry.taken) else {
            return false;
        };
        let mut kept = entry.kept.clone();
        let before = entry.unsaved.clone();
        let before = before.unwrap_or_else(|| Box::new(kept.clone()));
        let revision = entry.revision.clone();
        change(&mut kept);
        self.put_unsaved(key, (kept, revision), before, now);
        true
    }

    /// What is kept of one, and whether somebody wants it.
    pub fn get(&self, key: &ObjectKey) -> Option<(&T, bool)> {
        let entry = self.entries.get(key)?;
        Some((&entry.kept, entry.wanted.is_some()))
    }

    /// Nothing is done with it any more.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.leave_queues(key);
        self.changed.remove(key);
        let Some(entry) = self.entries.remove(key) else {
            return;
        };
        let managed = entry.kept.managed();
        for time in managed.placed.iter().copied().chain(entry.begun) {
            self.queue.not_placed(key, time);
        }
        if let Some(issued) = &managed.issued {
            let expires = issued.certificate.not_after;
            self.issued.remove(&(expires, key.clone()));
        }
        self.ordered.remove(key);
        self.failing.remove(key);
    }

    /// Those that wait for the proxies.
    pub fn at_barrier(&self) -> impl Iterator<Item = (&ObjectKey, &T)> {
        let keys = self.at_barrier.iter();
        keys.filter_map(|key| Some((key, &self.entries.get(key)?.kept)))
    }

    /// How many are in which state.
    pub fn tally(&self) -> Tally {
        Tally {
            issued: self.issued.len(),
            ordered: self.ordered.len(),
            failing: self.failing.len(),
            at_barrier: self.at_barrier.len(),
            queued: self.queue.len(),
            expires: self.issued.first().map(|(time, _)| *time),
        }
    }

    /// All that is kept.
    pub fn all(&self) -> impl Iterator<Item = (&ObjectKey, &Entry<T>)> {
        self.entries.iter()
    }

    /// What is next for one that nobody is at, and who answers for it.
    fn look(
        &self,
        key: &ObjectKey,
        conditions: &Conditions<'_>,
        answering: impl Fn(&ObjectKey, &T) -> Answering,
    ) -> Option<(Task<T>, Answering)> {
        let entry = self.entries.get(key).filter(|entry| !entry.taken)?;
        let now = conditions.now;
        if let Some(before) = &entry.unsaved {
            let task = match entry.waits.filter(|time| *time > now) {
                Some(time) => Task::Do(Next::Wait(time)),
                None => Task::Save(before.clone()),
            };
            return Some((task, Answering::Nobody));
        }
        let answers = answering(key, &entry.kept);
        let patience = answers.patience();
        // Whoever does not answer by then may never.
        let barred = entry.barred.unwrap_or(now);
        let answered = patience.is_some_and(|patience| barred.later(patience) <= now);
        let same_names = Limit {
            orders: self.limits.same_names,
            within: WEEK,
        };
        // Of a clock that was put back nothing counts that is still to come.
        let placed = entry.kept.managed().placed.iter().rev().copied();
        let of_names = same_names.allows(placed.skip_while(|time| *time > now));
        let settled = entry
            .wanted
            .map_or(now, |since| since.later(self.limits.settled));
        let circumstances = Circumstances {
            now,
            wanted: entry.wanted.is_some(),
            ca: conditions.ca,
            suggests: conditions.suggests,
            allowed: of_names.max(settled),
            answered,
        };
        let next = next(entry.kept.managed(), &circumstances);
        Some((Task::Do(next), answers))
    }

    /// The most urgent order, if the CA takes another.
    fn take_order(&mut self, now: Timestamp) -> Option<(ObjectKey, Entry<T>, Task<T>)> {
        let (key, _) = self
            .queue
            .next(now)
            .filter(|(_, allowed)| *allowed <= now)?;
        let key = key.clone();
        self.leave_queues(&key);
        let entry = self.entries.get_mut(&key)?;
        entry.taken = true;
        // Counts for those that follow at once.
        entry.begun = Some(now);
        self.queue.placed(&key, now);
        Some((key, entry.clone(), Task::Do(Next::Begin)))
    }

    fn enter(
        &mut self,
        key: ObjectKey,
        kept: T,
        revision: Option<Box<str>>,
        wanted: Option<Timestamp>,
        unsaved: Option<Box<T>>,
    ) {
        self.forget(&key);
        let managed = kept.managed();
        for time in &managed.placed {
            self.queue.placed(&key, *time);
        }
        if let Some(issued) = &managed.issued {
            let expires = issued.certificate.not_after;
            self.issued.insert((expires, key.clone()));
        }
        if managed.order.is_some() {
            self.ordered.insert(key.clone());
        }
        if managed.trouble.is_some() {
            self.failing.insert(key.clone());
        }
        self.changed.insert(key.clone());
        let entry = Entry {
            kept,
            revision,
            unsaved,
            wanted,
            waits: None,
            urgency: None,
            barred: None,
            begun: None,
            taken: false,
        };
        self.entries.insert(key, entry);
    }

    fn leave_queues(&mut self, key: &ObjectKey) {
        self.at_barrier.remove(key);
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        if let Some(time) = entry.waits.take() {
            self.due.remove(&(time, key.clone()));
        }
        if let Some(urgency) = entry.urgency.take() {
            self.queue.leave(key, urgency);
        }
    }
}

/// In which place an order stands: what is revoked is before all others, what somebody demands before
/// what expires later.
fn urgency(managed: &Managed, wanted: Option<Timestamp>) -> Option<Timestamp> {
    let issued = managed.issued.as_ref();
    if issued.is_some_and(|issued| issued.revoked.is_some()) {
        return Some(Timestamp(i64::MIN));
    }
    let expires = issued.map(|issued| issued.certificate.not_after);
    let demanded = managed.demand.as_ref().map(|demand| demand.at);
    demanded.or(expires).or(wanted)
}

#[cfg(test)]
mod tests;
