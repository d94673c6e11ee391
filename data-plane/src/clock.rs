//! What time it is, for one traffic thread.
//!
//! Apart, and the only file here that reads a clock: most of the request path needs no
//! better time than a tenth of a second, and that is read once per tick, not per request.

use std::{cell::Cell, time::Duration};

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};
use tokio::time::Instant;

/// How often a thread's coarse time is brought up to date.
pub const TICK: Duration = Duration::from_millis(100);

/// A point in coarse time: ticks since the thread began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticks(u64);

impl Ticks {
    pub const ZERO: Self = Self(0);
    /// Later than any point that comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The first point that is surely later than now by `wait`.
    pub fn after(self, wait: Duration) -> Self {
        let tenths = u64::from(wait.subsec_millis() / 100) + 1;
        let ticks = wait.as_secs().saturating_mul(10).saturating_add(tenths);
        Self(self.0.saturating_add(ticks))
    }
}

/// The clocks of one thread.
#[derive(Debug)]
pub struct Clock {
    origin: Instant,
    ticks: Cell<Ticks>,
    /// Both clocks as they were at the last tick.
    monotonic: Cell<Instant>,
    wall: Cell<Timestamp>,
    date: Cell<[u8; DATE_LEN]>,
}

impl Clock {
    pub fn start() -> Self {
        let now = Instant::now();
        let clock = Self {
            origin: now,
            ticks: Cell::new(Ticks::ZERO),
            monotonic: Cell::new(now),
            wall: Cell::new(Timestamp::UNIX_EPOCH),
            date: Cell::new(*UNIX_EPOCH),
        };
        clock.tick();
        clock
    }

    /// Brings the coarse time up to date.
    pub fn tick(&self) {
        let now = Instant::now();
        let passed = now.duration_since(self.origin);
        self.ticks.set(Ticks(
            passed.as_secs() * 10 + u64::from(passed.subsec_millis() / 100),
        ));
        self.monotonic.set(now);
        let wall = wall();
        if wall.as_second() != self.wall.replace(wall).as_second()
            && let Some(date) = http_date(wall)
        {
            self.date.set(date);
        }
    }

    /// Coarse time: as of the last tick.
    pub fn ticks(&self) -> Ticks {
        self.ticks.get()
    }

    /// The wall clock at `instant`, without reading it.
    pub fn wall_at(&self, instant: Instant) -> Timestamp {
        let since = instant.saturating_duration_since(self.monotonic.get());
        let wall = self.wall.get();
        wall.checked_add(since).unwrap_or(wall)
    }

    /// The value of a `Date` header field.
    pub fn date(&self) -> [u8; DATE_LEN] {
        self.date.get()
    }
}

/// Exact time, for how long things take.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock.
pub fn wall() -> Timestamp {
    Timestamp::now()
}

fn http_date(time: Timestamp) -> Option<[u8; DATE_LEN]> {
    let text = DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&time)
        .ok()?;
    text.as_bytes().try_into().ok()
}

const DATE_LEN: usize = 29;

const UNIX_EPOCH: &[u8; DATE_LEN] = b"Thu, 01 Jan 1970 00:00:00 GMT";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_have_the_form_of_http() {
        let time: Timestamp = "1994-11-06T08:49:37Z".parse().unwrap();
        assert_eq!(&http_date(time).unwrap(), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_wait_is_never_cut_short_by_the_coarse_clock() {
        assert_eq!(Ticks(5).after(Duration::from_millis(100)), Ticks(7));
        assert_eq!(Ticks(5).after(Duration::from_secs(2)), Ticks(26));
        assert_eq!(Ticks(5).after(Duration::MAX), Ticks::NEVER);
    }

    #[test]
    fn a_clock_that_has_begun_knows_the_date() {
        assert_ne!(&Clock::start().date(), UNIX_EPOCH);
    }
}
