//! A few values that are made once for all threads and found again, for as long as few others are.
//!
//! Whoever finds one takes no lock. Two threads may make the same one at once, and each then has its
//! own.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Those of late, the latest last.
#[derive(Debug)]
pub struct Recent<T>(ArcSwap<Vec<Arc<T>>>);

impl<T> Recent<T> {
    /// The first that is so.
    pub fn find(&self, is: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let known = self.0.load();
        known.iter().find(|known| is(known)).map(Arc::clone)
    }

    /// Keeps one more, in the place of the oldest if there are too many.
    pub fn keep(&self, made: T) -> Arc<T> {
        let made = Arc::new(made);
        self.0.rcu(|known| {
            let before = known.iter().skip((known.len() + 1).saturating_sub(MOST));
            before.chain([&made]).map(Arc::clone).collect::<Vec<_>>()
        });
        made
    }
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(ArcSwap::default())
    }
}

const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_found_and_the_oldest_makes_room() {
        let recent = Recent::default();
        for number in 0..=MOST {
            assert_eq!(recent.find(|known| *known == number), None);
            recent.keep(number);
        }
        assert_eq!(recent.find(|known| *known == 0), None);
        for number in 1..=MOST {
            assert_eq!(
                recent.find(|known| *known == number).as_deref(),
                Some(&number)
            );
        }
    }
}
