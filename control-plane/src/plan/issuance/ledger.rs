//! What a CA's limits leave, computed from when orders were placed.
//!
//! A CA counts in token buckets that are filled again one by one. So many orders in any stretch of
//! the time in which a bucket is filled as a whole never empty it, whatever was before; and no more
//! history than that is needed. A CA may count others' orders, too: what is computed here is the
//! earliest time at which it makes sense to ask.

use crate::model::time::Timestamp;

/// Orders that a CA takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So many; 0: any number.
    pub orders: u32,
    /// In this time, in milliseconds.
    pub within: i64,
}

impl Limit {
    /// From when on another is taken, after orders at these times, the newest first.
    pub fn allows(self, placed: impl IntoIterator<Item = Timestamp>) -> Timestamp {
        let Some(before) = usize::try_from(self.orders)
            .unwrap_or(usize::MAX)
            .checked_sub(1)
        else {
            return Timestamp(i64::MIN);
        };
        let oldest = placed.into_iter().nth(before);
        oldest.map_or(Timestamp(i64::MIN), |time| time.later(self.within))
    }
}

/// In milliseconds.
pub const WEEK: i64 = 7 * 86_400_000;
/// As long as orders of one account count at Let's Encrypt.
pub const THREE_HOURS: i64 = 3 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_no_stretch_of_the_time_there_are_more_than_it_takes() {
        let limit = Limit {
            orders: 3,
            within: 30,
        };
        let at = |times: &[i64]| limit.allows(times.iter().rev().copied().map(Timestamp)).0;
        assert_eq!(at(&[]), i64::MIN);
        assert_eq!(at(&[100, 100]), i64::MIN);
        assert_eq!(at(&[100, 100, 100]), 130);
        assert_eq!(at(&[100, 105, 111]), 130);
        assert_eq!(at(&[100, 105, 111, 130]), 135);
        let any = Limit {
            orders: 0,
            within: 9,
        };
        assert_eq!(any.allows([Timestamp(5); 9]).0, i64::MIN);
    }
}
