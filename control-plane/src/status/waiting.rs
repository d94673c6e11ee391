//! Objects whose owners wait for an Event: each once, however often it changed.
//!
//! Apart from who writes, so that the engine never waits for an API server, and nothing is
//! lost while one is slow. It needs no limit of its own: an object that is gone is forgotten,
//! so there are never more of them than `State` has.

use std::collections::BTreeMap;

use tokio::sync::watch;

use crate::model::key::ObjectKey;
use crate::project::standing::StandingChange;
use crate::status::notice::{Notice, notices};

/// Changes that wait, the most urgent first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: watch::Sender<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    changes: BTreeMap<ObjectKey, (Place, StandingChange)>,
    order: BTreeMap<Place, ObjectKey>,
    /// Given to the next that comes.
    next: u64,
    /// Nothing is to be written.
    silent: bool,
    /// Nothing comes any more.
    ended: bool,
}

/// What owners wait for before news, and what has waited longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    urgency: Urgency,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Awaited,
    News,
}

impl Waiting {
    /// Adds a change to what is known of its object.
    pub(super) fn add(&self, change: StandingChange) {
        self.queue.send_modify(|queue| queue.add(change));
    }

    /// The most urgent change; none when nothing is left and nothing comes any more.
    pub(super) async fn next(&self) -> Option<StandingChange> {
        let mut coming = self.queue.subscribe();
        loop {
            // Before the look at what waits, so that nothing comes unseen between the two.
            let ended = coming.borrow_and_update().ended;
            let mut first = None;
            self.queue.send_if_modified(|queue| {
                first = queue.take();
                false
            });
            if first.is_some() || ended {
                return first;
            }
            // It fails only when there is no queue any more.
            coming.changed().await.ok()?;
        }
    }

    /// Forgets what waits and what comes, until nothing more does.
    pub(super) async fn run_out(&self) {
        while self.next().await.is_some() {}
    }

    /// Has nothing be written, or again what comes from now on; whether silence begins.
    pub(super) fn silence(&self, silent: bool) -> bool {
        let mut begins = false;
        self.queue.send_modify(|queue| {
            begins = silent && !queue.silent;
            queue.silent = silent;
            if silent {
                queue.changes.clear();
                queue.order.clear();
            }
        });
        begins
    }

    /// Whether nothing is to be written.
    pub(super) fn is_silent(&self) -> bool {
        self.queue.borrow().silent
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        self.queue.send_modify(|queue| queue.ended = true);
    }
}

impl Queue {
    /// The first `before` and the last `after` of an object: what its owner missed.
    fn add(&mut self, mut change: StandingChange) {
        if self.silent {
            return;
        }
        let mut number = self.next;
        if let Some((place, known)) = self.changes.remove(&change.key) {
            self.order.remove(&place);
            number = place.number;
            change.before = known.before;
        } else {
            self.next += 1;
        }
        let notices = notices(change.before.as_ref(), change.after.as_ref());
        if notices.is_empty() {
            return;
        }
        let urgency = if notices.iter().any(Notice::is_awaited) {
            Urgency::Awaited
        } else {
            Urgency::News
        };
        let place = Place { urgency, number };
        self.order.insert(place, change.key.clone());
        self.changes.insert(change.key.clone(), (place, change));
    }

    fn take(&mut self) -> Option<StandingChange> {
        let (_, key) = self.order.pop_first()?;
        self.changes.remove(&key).map(|(_, change)| change)
    }
}
