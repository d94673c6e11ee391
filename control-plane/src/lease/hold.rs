//! Holding the Lease: renewed until that fails for too long, or somebody else has it.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clock;
use crate::lease::sight::{Found, Holder};
use crate::lease::store::{LeaseError, Store};
use crate::lease::{Office, Timing};

/// The Lease, held.
#[derive(Debug)]
pub struct Holding<S> {
    store: S,
    me: Holder,
    timing: Timing,
    found: Found,
    office: Office,
}

impl<S: Store> Holding<S> {
    pub(super) fn new(store: S, me: Holder, timing: Timing, found: Found, office: Office) -> Self {
        Self {
            store,
            me,
            timing,
            found,
            office,
        }
    }

    /// The right that comes with it.
    pub fn office(&self) -> &Office {
        &self.office
    }

    /// Renews it until it is lost or given up, which the office then says.
    pub async fn keep(&mut self) {
        let office = self.office.clone();
        loop {
            tokio::select! {
                () = office.over() => break,
                () = sleep(self.timing.retry) => {}
            }
            if !self.office.holds() {
                break;
            }
            let asked = clock::since_boot();
            let renewed = tokio::select! {
                () = office.over() => break,
                renewed = timeout(self.timing.patience(), self.renew()) => renewed,
            };
            match renewed {
                Ok(Ok(found)) => {
                    self.found = found;
                    self.office.renew(asked + self.timing.renew_within);
                }
                Ok(Err(LeaseError::Conflict)) => {
                    tracing::warn!(
                        "the Lease was taken, edited or deleted: this replica no longer leads"
                    );
                    break;
                }
                // A watch that goes on may see nothing of it: the next term lists everything anew.
                Ok(Err(error @ LeaseError::Restored)) => {
                    tracing::warn!(%error, "another term begins");
                    break;
                }
                Ok(Err(error)) => tracing::warn!(%error, "the Lease was not renewed; trying on"),
                Err(_) => {
                    tracing::warn!("the API server does not answer: the Lease was not renewed")
                }
            }
        }
        self.office.resign();
    }

    /// Gives it back, so that nobody has to wait until it runs out.
    pub async fn give_back(self) {
        self.office.resign();
        match timeout(GIVE_BACK, self.given_back()).await {
            Ok(Ok(())) => tracing::info!("the Lease was given back"),
            Ok(Err(LeaseError::Conflict)) => tracing::info!("the Lease is no longer this one's"),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease was not given back: it runs out"),
            Err(_) => tracing::warn!("the Lease was not given back in time: it runs out"),
        }
    }

    /// A renewal that was under way as the term ended may still arrive, and nobody waits for its
    /// outcome: then it is ours as it is found, and not as it was last seen.
    async fn given_back(&self) -> Result<(), LeaseError> {
        let mut given = self.store.give_back(&self.found).await;
        while matches!(given, Err(LeaseError::Conflict)) {
            let found = self.ours().await?;
            given = self.store.give_back(&found).await;
        }
        given
    }

    /// The Lease as it is, if it is still this term's.
    async fn ours(&self) -> Result<Found, LeaseError> {
        let found = self.store.read().await?.ok_or(LeaseError::Conflict)?;
        let holder = found.holder.as_ref();
        let ours = holder.is_some_and(|holder| holder.identity == self.me.identity);
        if ours && found.epoch == self.office.epoch() {
            return Ok(found);
        }
        Err(LeaseError::Conflict)
    }

    /// Writes it again. What somebody else wrote into it meanwhile, and left us the holder of, is
    /// no reason to stop.
    async fn renew(&self) -> Result<Found, LeaseError> {
        let (epoch, duration) = (self.office.epoch(), self.timing.duration);
        let renewed = self
            .store
            .take(Some(&self.found), &self.me, epoch, duration)
            .await;
        let Err(LeaseError::Conflict) = renewed else {
            return renewed;
        };
        let found = self.ours().await?;
        if found.is_before(&self.found) {
            return Err(LeaseError::Restored);
        }
        self.store
            .take(Some(&found), &self.me, epoch, duration)
            .await
    }
}

const GIVE_BACK: Duration = Duration::from_secs(2);
