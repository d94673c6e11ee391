//! What is held, what is referred to, and what may be forgotten. Without a clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::keys::Count;
use crate::keys::references::References;
use crate::model::bundle::{Bundle, BundleName};
use crate::snapshot::publication::Publication;

/// All of it. Times are of a clock that is never put back.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    held: BTreeMap<BundleName, Held>,
    references: References,
    missing: BTreeSet<BundleName>,
    /// What is held and not referred to, by the time since when that counts.
    idle: BTreeSet<(Duration, BundleName)>,
    idle_bytes: usize,
}

#[derive(Debug)]
struct Held {
    bundle: Bundle,
    /// `None` while it is referred to.
    idle_since: Option<Duration>,
    /// When the last reference to it went.
    unreferred: Option<Duration>,
}

impl Shelf {
    /// Whether something else is missing now.
    pub(super) fn put(&mut self, bundle: Bundle, now: Duration) -> bool {
        let name = bundle.name();
        if let Some(held) = self.held.get(&name) {
            if held.idle_since.is_some() {
                self.not_idle(name);
                self.idle(name, now);
            }
            return false;
        }
        let held = Held {
            bundle,
            idle_since: None,
            unreferred: None,
        };
        self.held.insert(name, held);
        if !self.references.has(name) {
            self.idle(name, now);
        }
        self.forget(now);
        self.missing.remove(&name)
    }

    pub(super) fn get(&self, name: BundleName) -> Option<Bundle> {
        self.held.get(&name).map(|held| held.bundle.clone())
    }

    pub(super) fn served(&self, name: BundleName, now: Duration) -> Option<Bundle> {
        let held = self.held.get(&name)?;
        let lately = |since| now.saturating_sub(since) < SERVED_AFTER;
        let served = held.idle_since.is_none() || held.unreferred.is_some_and(lately);
        served.then(|| held.bundle.clone())
    }

    pub(super) fn is_behind(&self, publication: &Publication) -> bool {
        self.references.is_behind(publication)
    }

    /// Whether something else is missing now.
    pub(super) fn follow(&mut self, publication: &Publication, now: Duration) -> bool {
        let moved = self.references.follow(publication);
        let mut changed = false;
        for name in moved.added {
            self.not_idle(name);
            if !self.held.contains_key(&name) {
                changed |= self.missing.insert(name);
            }
        }
        for name in moved.removed {
            changed |= self.missing.remove(&name);
            if let Some(held) = self.held.get_mut(&name) {
                held.unreferred = Some(now);
                self.idle(name, now);
            }
        }
        self.forget(now);
        changed
    }

    pub(super) fn missing(&self) -> &BTreeSet<BundleName> {
        &self.missing
    }

    pub(super) fn count(&self) -> Count {
        Count {
            held: self.held.len(),
            missing: self.missing.len(),
        }
    }

    /// Forgets what has not been referred to for long, and what there is too much of.
    pub(super) fn forget(&mut self, now: Duration) {
        while let Some((since, name)) = self.idle.first().copied() {
            let old = now.saturating_sub(since) >= KEPT;
            let full = self.idle.len() > IDLE || self.idle_bytes > IDLE_BYTES;
            if !old && !full {
                break;
            }
            self.not_idle(name);
            self.held.remove(&name);
        }
    }

    /// A bundle that is held, and not idle, is idle from now on.
    fn idle(&mut self, name: BundleName, now: Duration) {
        if let Some(held) = self.held.get_mut(&name) {
            held.idle_since = Some(now);
            self.idle.insert((now, name));
            self.idle_bytes += held.bundle.bytes().len();
        }
    }

    fn not_idle(&mut self, name: BundleName) {
        if let Some(held) = self.held.get_mut(&name)
            && let Some(since) = held.idle_since.take()
        {
            self.idle.remove(&(since, name));
            self.idle_bytes -= held.bundle.bytes().len();
        }
    }
}

/// Longer than it takes from an object to what is published of it, also in a first list.
const KEPT: Duration = Duration::from_secs(600);
/// As long as a proxy may take to answer a transfer.
const SERVED_AFTER: Duration = Duration::from_secs(60);
/// Twice what is aimed at, because all of a first list may wait to be published.
const IDLE: usize = 20_000;
const IDLE_BYTES: usize = 128 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tests::{bundle, publication};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_referred_to_stays_and_the_rest_goes_after_a_while() {
        let mut shelf = Shelf::default();
        let (used, idle) = (bundle(b"used"), bundle(b"idle"));
        shelf.put(used.clone(), Duration::ZERO);
        shelf.put(idle.clone(), Duration::ZERO);
        let first = publication(None, &[("secret/a/b", &used)]);
        shelf.follow(&first, SECOND);
        // What is seen once more is kept for longer.
        shelf.put(idle.clone(), 2 * SECOND);
        shelf.forget(KEPT + SECOND);
        assert!(shelf.get(idle.name()).is_some());
        shelf.forget(KEPT + 2 * SECOND);
        assert_eq!(shelf.get(idle.name()), None);
        shelf.forget(100 * KEPT);
        assert_eq!(shelf.get(used.name()), Some(used));
        let count = |held| Count { held, missing: 0 };
        assert_eq!(shelf.count(), count(1));
        shelf.follow(&publication(Some(&first), &[]), 100 * KEPT);
        assert_eq!(shelf.count(), count(1));
        shelf.forget(101 * KEPT);
        assert_eq!((shelf.count(), shelf.idle_bytes), (count(0), 0));
    }

    #[test]
    fn only_what_is_or_was_just_published_is_served() {
        let mut shelf = Shelf::default();
        let (one, two) = (bundle(b"one"), bundle(b"two"));
        shelf.put(one.clone(), Duration::ZERO);
        shelf.put(two.clone(), Duration::ZERO);
        assert_eq!(shelf.served(one.name(), Duration::ZERO), None);
        let first = publication(None, &[("secret/a/b", &one)]);
        shelf.follow(&first, SECOND);
        assert_eq!(shelf.served(one.name(), SECOND), Some(one.clone()));
        assert_eq!(shelf.served(two.name(), SECOND), None);
        let second = publication(Some(&first), &[("secret/a/b", &two)]);
        shelf.follow(&second, 2 * SECOND);
        assert_eq!(shelf.served(two.name(), 2 * SECOND), Some(two));
        assert_eq!(
            shelf.served(one.name(), SECOND + SERVED_AFTER),
            Some(one.clone())
        );
        // Being seen again is no reference.
        shelf.put(one.clone(), 2 * SECOND + SERVED_AFTER);
        assert_eq!(shelf.served(one.name(), 2 * SECOND + SERVED_AFTER), None);
    }

    #[test]
    fn what_nothing_refers_to_is_bounded_and_what_something_does_is_not() {
        let mut shelf = Shelf::default();
        let used = bundle(b"used");
        shelf.follow(&publication(None, &[("secret/a/b", &used)]), Duration::ZERO);
        shelf.put(used.clone(), Duration::ZERO);
        for number in 0..IDLE + 5 {
            shelf.put(bundle(&number.to_be_bytes()), SECOND);
        }
        assert_eq!(shelf.count().held, IDLE + 1);
        let large = vec![0; IDLE_BYTES / 2];
        for (byte, time) in [(1, 2), (2, 3), (3, 4)] {
            let mut large = large.clone();
            large.push(byte);
            shelf.put(bundle(&large), time * SECOND);
        }
        // The youngest of them alone, and what is used.
        assert_eq!(shelf.count().held, 2);
        assert!(shelf.get(used.name()).is_some());
    }

    #[test]
    fn a_publication_that_is_older_changes_nothing() {
        let mut shelf = Shelf::default();
        let (one, two) = (bundle(b"one"), bundle(b"two"));
        let first = publication(None, &[("secret/a/b", &one), ("secret/a/c", &one)]);
        let second = publication(Some(&first), &[("secret/a/b", &two), ("secret/a/c", &one)]);
        assert!(shelf.follow(&second, SECOND));
        assert!(!shelf.follow(&first, SECOND));
        assert_eq!(*shelf.missing(), [one.name(), two.name()].into());
        assert!(shelf.put(two.clone(), SECOND));
        assert_eq!(*shelf.missing(), [one.name()].into());
        let third = publication(Some(&second), &[("secret/a/b", &two)]);
        assert!(shelf.follow(&third, SECOND));
        assert!(shelf.missing().is_empty());
    }
}
