//! Objects whose owners wait for an Event: each once, however often it changed.
//!
//! Apart from who writes, so that the engine never waits for an API server, and nothing is
//! lost while one is slow. It needs no limit of its own: an object that is gone is forgotten,
//! so there are never more of them than `State` has.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::key::ObjectKey;
use crate::project::standing::StandingChange;
use crate::status::notice::{Notice, notices};

/// Changes that wait, the most urgent first.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    changes: BTreeMap<ObjectKey, (Place, StandingChange)>,
    order: BTreeMap<Place, ObjectKey>,
    /// Given to the next that comes.
    next: u64,
    /// Nothing comes any more.
    ended: bool,
}

/// Warnings before news, and what has waited longest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    urgency: Urgency,
    number: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Warning,
    News,
}

impl Waiting {
    /// Adds a change to what is known of its object.
    pub(super) fn add(&self, change: StandingChange) {
        self.lock().add(change);
        self.more.notify_one();
    }

    /// The most urgent change; none when nothing is left and nothing comes any more.
    pub(super) async fn next(&self) -> Option<StandingChange> {
        loop {
            {
                let mut queue = self.lock();
                if let Some(change) = queue.take() {
                    return Some(change);
                }
                if queue.ended {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }

    /// Forgets what waits and what comes, until nothing more does.
    pub(super) async fn run_out(&self) {
        while self.next().await.is_some() {}
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.more.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // What a panicked thread left is whole: each change is one insertion.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The first `before` and the last `after` of an object: what its owner missed.
    fn add(&mut self, mut change: StandingChange) {
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
        let urgency = if notices.iter().any(Notice::is_warning) {
            Urgency::Warning
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
