//! How often each may call: for calls that cost little each, and are over before a place could be
//! held.

use std::time::Duration;

use arc_swap::ArcSwap;
use imbl::OrdMap;

/// A bucket for each: so many calls at once, which come back one by one.
#[derive(Debug)]
pub(super) struct Rates<K: Ord + Clone> {
    interval: Duration,
    burst: u32,
    /// When each bucket is full again, by a clock that is never put back.
    full: ArcSwap<OrdMap<K, Duration>>,
}

impl<K: Ord + Clone> Rates<K> {
    /// One call in this time, and so many at once after a pause.
    pub(super) fn new(interval: Duration, burst: u32) -> Self {
        Self {
            interval,
            burst,
            full: ArcSwap::default(),
        }
    }

    /// Whether this one may call now; then it has.
    pub(super) fn admit(&self, who: &K, now: Duration) -> bool {
        let mut admitted = false;
        self.full.rcu(|full| {
            let before = full.get(who).copied().unwrap_or_default();
            let after = before.max(now).saturating_add(self.interval);
            admitted = after.saturating_sub(now) <= self.interval.saturating_mul(self.burst);
            match admitted {
                true => forgetting(full, now).update(who.clone(), after),
                false => OrdMap::clone(full),
            }
        });
        admitted
    }
}

/// A full bucket is like none.
fn forgetting<K: Ord + Clone>(full: &OrdMap<K, Duration>, now: Duration) -> OrdMap<K, Duration> {
    if full.len() < MOST {
        return full.clone();
    }
    let left = full.iter().filter(|(_, full)| **full > now);
    left.map(|(who, full)| (who.clone(), *full)).collect()
}

/// Buckets above which those that are full are looked for.
const MOST: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn each_may_call_so_often_whatever_another_does() {
        let rates = Rates::new(SECOND / 10, 20);
        let calls = |who, now| (0..100).filter(|_| rates.admit(&who, now)).count();
        assert_eq!(calls("a", 100 * SECOND), 20);
        assert_eq!(calls("a", 101 * SECOND), 10);
        assert_eq!(calls("b", 101 * SECOND), 20);
        assert_eq!(calls("a", 200 * SECOND), 20);
    }

    #[test]
    fn whoever_has_not_called_for_long_is_forgotten() {
        let rates = Rates::new(SECOND, 5);
        for who in 0..MOST {
            assert!(rates.admit(&who, SECOND));
        }
        assert!(rates.admit(&MOST, 2 * SECOND));
        assert_eq!(rates.full.load().len(), 1);
    }
}
