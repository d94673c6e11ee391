//! How long to wait before the next attempt to reach the control plane.
//!
//! Apart, so that it can be tested without a network: a thousand proxies must not all come
//! back in the same moment.

use std::time::Duration;

/// Doubles with each attempt up to a cap; drawn between half of it and the whole.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    last: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self::between(FIRST, CAP)
    }

    /// With this first pause, and this longest one.
    pub(super) fn between(first: Duration, last: Duration) -> Self {
        Self {
            first,
            last,
            next: first,
        }
    }

    /// The next pause. `chance` is between 0 and 1.
    pub(super) fn pause(&mut self, chance: f64) -> Duration {
        let pause = self.next;
        self.next = (self.next * 2).min(self.last);
        pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }

    /// An attempt has succeeded.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// A number between 0 and 1. Without a source of chance: 1.
pub(super) fn chance() -> f64 {
    getrandom::u32().map_or(1.0, |number| f64::from(number) / f64::from(u32::MAX))
}

const FIRST: Duration = Duration::from_millis(100);

const CAP: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds_and_begin_again_after_success() {
        let mut backoff = Backoff::new();
        let pauses: Vec<_> = (0..8).map(|_| backoff.pause(1.0).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        backoff.reset();
        assert_eq!(backoff.pause(1.0).as_millis(), 100);
    }

    #[test]
    fn chance_takes_up_to_half_of_a_pause() {
        for (chance, expected) in [(0.0, 50), (0.5, 75), (1.0, 100), (7.0, 100)] {
            assert_eq!(Backoff::new().pause(chance).as_millis(), expected);
        }
    }
}
