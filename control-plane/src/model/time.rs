//! A point in time, as stored and as an argument of pure functions.
//!
//! The pure modules read no clock: the shell's `clock.rs` makes these.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// So many milliseconds later.
    #[must_use]
    pub fn later(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Whole seconds and the nanoseconds after them, as protobuf and jiff count.
    pub fn parts(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(1000) * 1_000_000;
        (self.0.div_euclid(1000), i32::try_from(nanos).unwrap_or(0))
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}
