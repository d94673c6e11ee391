//! The clocks: the one place that reads them.
//!
//! Everything else takes `now`, so that tests and replays decide what time it is.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::model::time::Timestamp;

/// The time now.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the wall clock"
)]
pub fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}

/// How long this machine has been up, the time in which it was suspended included. Nobody can
/// set this clock: what must end in time is measured by it.
pub fn since_boot() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}
