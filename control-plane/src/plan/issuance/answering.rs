//! Whether a CA may be told to ask: it may come to any proxy.

/// Who answers by the challenges of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answering {
    All,
    /// Not all, and of those that do not it is not known that they take traffic.
    Some,
    /// Not one that takes traffic.
    NotAllReady,
    Nobody,
}

impl Answering {
    /// For how long others are waited for, in milliseconds, before a CA is told to ask; `None`: for
    /// good.
    pub(super) fn patience(self) -> Option<i64> {
        let [some, not_all_ready] = BOUNDS;
        match self {
            Self::All => Some(0),
            Self::Some => Some(some),
            Self::NotAllReady => Some(not_all_ready),
            Self::Nobody => None,
        }
    }
}

/// How long an order waits for proxies, some of which answer already; and how long if one that does
/// not takes traffic, for a CA that comes to it counts a failure.
pub(super) const BOUNDS: [i64; 2] = [5 * 60_000, 30 * 60_000];
