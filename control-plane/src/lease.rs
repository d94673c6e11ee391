//! The right to lead: a Lease of the Kubernetes API, taken, renewed and given back.
//!
//! Apart from what a leader does. Who holds the Lease writes a higher epoch into it with the same
//! request that takes it, so that no two terms have the same, and a leader that was deposed
//! unnoticed is outbid everywhere. Clocks of different machines are never compared: a Lease is
//! free when it did not change for as long as it says, by the own clock since it was seen.

mod fence;
mod hold;
mod office;
mod sight;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::clock;
use crate::event::Epoch;

pub use fence::{Deposed, fenced};
pub use hold::Holding;
pub use office::Office;
pub use sight::{Found, Holder, Sight};
pub use store::{LeaseError, Leases, Store};

/// How long a term lasts without being renewed, and how that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// After this time without a change others may take the Lease.
    pub duration: Duration,
    /// After this time without success its holder stops. Shorter than `duration`.
    pub renew_within: Duration,
    /// Between two attempts.
    pub retry: Duration,
}

impl Timing {
    /// How long an answer may take: so that there is time to ask again, by another connection.
    fn patience(self) -> Duration {
        self.renew_within / 3
    }
}

/// More epochs than any installation sees.
const MOST_ABOVE: u64 = 1_000_000;

/// A replica that would lead.
#[derive(Debug)]
pub struct Candidate<S> {
    store: S,
    me: Holder,
    timing: Timing,
    sight: Sight,
}

impl<S: Store> Candidate<S> {
    /// One that has not looked yet.
    pub fn new(store: S, me: Holder, timing: Timing) -> Self {
        Self {
            store,
            me,
            timing,
            sight: Sight::default(),
        }
    }

    /// Looks at the Lease, and says whether it can be taken now.
    pub async fn look(&mut self) -> Result<bool, LeaseError> {
        let found = self.in_time(self.store.read()).await?;
        let now = clock::since_boot();
        self.sight.look(found, now);
        Ok(self.sight.is_free(&self.me, now))
    }

    /// Takes the Lease as it was last seen, for a term above this epoch, too. `None` if somebody
    /// was quicker.
    pub async fn take(&mut self, above: Epoch) -> Result<Option<Holding<S>>, LeaseError> {
        let over = self.sight.found();
        // One that somebody wrote into it by hand must not use all epochs up.
        let most = above.0.saturating_add(MOST_ABOVE);
        let held = over.map(|found| found.epoch);
        let held = held.filter(|held| held.0 <= most).unwrap_or(Epoch(0));
        let epoch = Epoch(held.max(above).0.saturating_add(1));
        let asked = clock::since_boot();
        let taken = self.store.take(over, &self.me, epoch, self.timing.duration);
        match self.in_time(taken).await {
            Ok(found) => {
                self.sight.look(Some(found.clone()), clock::since_boot());
                let until = asked + self.timing.renew_within;
                let office = Office::until(epoch, until);
                Ok(Some(Holding::new(
                    self.store.clone(),
                    self.me.clone(),
                    self.timing,
                    found,
                    office,
                )))
            }
            Err(LeaseError::Conflict) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How long to wait before the next look.
    pub fn pause(&self) -> Duration {
        let free = self.sight.free_at(&self.me).unwrap_or_default();
        let left = free.saturating_sub(clock::since_boot());
        let soon = (!left.is_zero()).then_some(left);
        soon.map_or(self.timing.retry, |left| left.min(self.timing.retry))
    }

    /// Where another leads.
    pub fn leader(&self) -> Option<Arc<str>> {
        self.sight.leader(&self.me, clock::since_boot())
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        let limit = self.timing.patience();
        let answer = timeout(limit, answer).await;
        answer.unwrap_or(Err(LeaseError::Silent { after: limit }))
    }
}
