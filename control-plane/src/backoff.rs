//! How long to wait before trying again: not long at first, then ever longer, never together.
//!
//! One for all that asks the outside, so that what comes back is not overrun by whoever waited.

use std::time::Duration;

/// Between half and all of a time that doubles with each failure in a row, up to half a minute.
pub(crate) fn delay(in_a_row: u32) -> Duration {
    let most = FIRST.saturating_mul(1 << in_a_row.saturating_sub(1).min(16));
    let half = most.min(LONGEST) / 2;
    half + half.mul_f64(chance())
}

/// A number from 0 to 1; without chance, all wait longest.
fn chance() -> f64 {
    let mut byte = [u8::MAX];
    if getrandom::fill(&mut byte).is_err() {
        return 1.0;
    }
    let [byte] = byte;
    f64::from(byte) / f64::from(u8::MAX)
}

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(30);
