//! How many writes there are: a token bucket, of which news that nobody waits for gets the upper half only.
//!
//! Its own, because an installation of ten thousand Ingresses must not become ten thousand
//! writes, and a warning must not be lost among them.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens, refilled by time.
#[derive(Debug)]
pub(super) struct Bucket {
    size: f64,
    /// Tokens a second.
    refill: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// For Events.
    pub(super) fn full(now: Instant) -> Self {
        Self {
            size: SIZE,
            refill: REFILL,
            tokens: SIZE,
            at: now,
        }
    }

    /// For so many a second.
    pub(super) fn of(refill: u32, now: Instant) -> Self {
        let refill = f64::from(refill);
        Self {
            size: refill,
            refill,
            tokens: refill,
            at: now,
        }
    }

    /// Whether one more may be written now.
    pub(super) fn take(&mut self, now: Instant, awaited: bool) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = passed.mul_add(self.refill, self.tokens).min(self.size);
        self.at = now;
        let floor = if awaited { 0.0 } else { self.size / 2.0 };
        let granted = self.tokens - 1.0 >= floor;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }

    /// From when none was left until there is one.
    pub(super) fn until_next(&self) -> Duration {
        Duration::from_secs_f64((1.0 - self.tokens).clamp(0.0, 1.0) / self.refill) + ROUNDING
    }
}

/// As many as a kubelet writes by default (`eventBurst`).
const SIZE: f64 = 100.0;
/// Tokens a second (`eventRecordQPS`).
const REFILL: f64 = 50.0;
/// So that who waited finds a whole token.
const ROUNDING: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn good_news_leaves_half_for_warnings_and_time_refills() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let granted = |bucket: &mut Bucket, at, warning| {
            (0..200).filter(|_| bucket.take(at, warning)).count()
        };
        assert_eq!(granted(&mut bucket, start, false), 50);
        assert_eq!(granted(&mut bucket, start, true), 50);
        let later = start + Duration::from_secs(1);
        assert_eq!(granted(&mut bucket, later, true), 50);
        let next = later + bucket.until_next();
        assert_eq!(granted(&mut bucket, next, true), 1);
    }
}
