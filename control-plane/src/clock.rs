//! The wall clock: the one place that reads it.
//!
//! Everything else takes `now`, so that tests and replays decide what time it is.

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
