//! Places of which each may have a few, such as each address: what takes one costs us something,
//! and nobody is to take all.

use std::sync::Arc;

use arc_swap::ArcSwap;
use imbl::OrdMap;

/// Who has how many places. A clone is another handle.
#[derive(Debug)]
pub(super) struct Shares<K: Ord + Clone> {
    most: usize,
    taken: Arc<ArcSwap<OrdMap<K, usize>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Share<K: Ord + Clone> {
    shares: Shares<K>,
    who: K,
}

impl<K: Ord + Clone> Shares<K> {
    /// So many for each.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            taken: Arc::default(),
        }
    }

    /// None if this one has all that it may.
    pub(super) fn take(&self, who: K) -> Option<Share<K>> {
        let free = |taken: &OrdMap<K, usize>| {
            let taken = taken.get(&who).copied().unwrap_or_default();
            (taken < self.most).then_some(taken + 1)
        };
        let before = self.taken.rcu(|taken| match free(taken) {
            Some(now) => taken.update(who.clone(), now),
            None => OrdMap::clone(taken),
        });
        free(&before)?;
        Some(Share {
            shares: self.clone(),
            who,
        })
    }
}

impl<K: Ord + Clone> Clone for Shares<K> {
    fn clone(&self) -> Self {
        Self {
            most: self.most,
            taken: Arc::clone(&self.taken),
        }
    }
}

impl<K: Ord + Clone> Drop for Share<K> {
    fn drop(&mut self) {
        let who = &self.who;
        self.shares.taken.rcu(|taken| match taken.get(who) {
            Some(2..) => taken.alter(|taken| taken.map(|taken| taken - 1), who.clone()),
            Some(_) | None => taken.without(who),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_anothers_place() {
        let shares = Shares::new(2);
        let (one, other) = ("one", "other");
        let first = shares.take(one).unwrap();
        let _second = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        let others = [shares.take(other).unwrap(), shares.take(other).unwrap()];
        drop(first);
        let _again = shares.take(one).unwrap();
        assert!(shares.take(one).is_none());
        drop(others);
        assert_eq!(shares.taken.load().len(), 1);
    }
}
