//! The queue of orders that are to be placed: the most urgent first, as the CA's limits allow.
//!
//! Apart from the scheduler, which knows each certificate: here it is only counted what all orders of
//! the account come to.

use std::collections::BTreeSet;

use crate::model::key::ObjectKey;
use crate::model::time::Timestamp;
use crate::plan::issuance::ledger::{Limit, THREE_HOURS};

/// Those that wait, and what was placed.
#[derive(Debug)]
pub(super) struct Queue {
    limit: Limit,
    /// By how urgent they are: the lesser comes first.
    waiting: BTreeSet<(Timestamp, ObjectKey)>,
    placed: BTreeSet<(Timestamp, ObjectKey)>,
}

impl Queue {
    /// The CA takes so many orders within three hours; 0: any number.
    pub(super) fn new(orders: u32) -> Self {
        Self {
            limit: Limit {
                orders,
                within: THREE_HOURS,
            },
            waiting: BTreeSet::new(),
            placed: BTreeSet::new(),
        }
    }

    /// An order for this one was placed then.
    pub(super) fn placed(&mut self, key: &ObjectKey, time: Timestamp) {
        self.placed.insert((time, key.clone()));
    }

    /// It does not count any more.
    pub(super) fn not_placed(&mut self, key: &ObjectKey, time: Timestamp) {
        self.placed.remove(&(time, key.clone()));
    }

    /// An order is to be placed for this one.
    pub(super) fn wait(&mut self, key: &ObjectKey, urgency: Timestamp) {
        self.waiting.insert((urgency, key.clone()));
    }

    /// It does not wait any more.
    pub(super) fn leave(&mut self, key: &ObjectKey, urgency: Timestamp) {
        self.waiting.remove(&(urgency, key.clone()));
    }

    /// Whose turn is next, and from when on.
    pub(super) fn next(&self, now: Timestamp) -> Option<(&ObjectKey, Timestamp)> {
        let (_, key) = self.waiting.first()?;
        // Of a clock that was put back nothing counts that is still to come.
        let placed = self.placed.iter().rev().map(|(time, _)| *time);
        let allowed = self.limit.allows(placed.skip_while(|time| *time > now));
        Some((key, allowed))
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::key::{Kind, Origin};

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            name: name.into(),
            ..ObjectKey::before_all(Origin::Folder, Kind::Certificate)
        }
    }

    #[test]
    fn the_most_urgent_is_next_when_the_ca_takes_another() {
        let mut queue = Queue::new(2);
        let now = Timestamp(1_000_000);
        assert_eq!(queue.next(now), None);
        queue.wait(&key("a"), now.later(9));
        queue.wait(&key("z"), now);
        let next = |queue: &Queue, now| {
            let (key, allowed) = queue.next(now).unwrap();
            (key.name.to_string(), allowed <= now)
        };
        assert_eq!(next(&queue, now), ("z".to_owned(), true));
        queue.placed(&key("b"), now);
        queue.placed(&key("c"), now);
        assert_eq!(next(&queue, now), ("z".to_owned(), false));
        assert!(next(&queue, now.later(THREE_HOURS)).1);
        queue.not_placed(&key("c"), now);
        queue.leave(&key("z"), now);
        assert_eq!(next(&queue, now), ("a".to_owned(), true));
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn what_a_wrong_clock_dated_ahead_does_not_count() {
        let mut queue = Queue::new(1);
        let now = Timestamp(1_000_000);
        queue.wait(&key("a"), now);
        queue.placed(&key("b"), now.later(80 * 86_400_000));
        assert!(queue.next(now).unwrap().1 <= now);
    }
}
