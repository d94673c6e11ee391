//! What is seen of the Lease, and what follows from it.
//!
//! Pure, because whether two leaders can be at work at once is decided here.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::event::Epoch;
use crate::model::time::Timestamp;

/// Who holds, or would hold, the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Unlike any other's: two processes with the same would both believe that it is theirs.
    pub identity: Arc<str>,
    /// Where proxies and other replicas reach it, as `https://HOST:PORT`.
    pub address: Arc<str>,
}

/// A Lease as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// `None`: it was given back.
    pub holder: Option<Holder>,
    /// The highest epoch that a holder claimed.
    pub epoch: Epoch,
    /// For how long it counts.
    pub duration: Duration,
    /// How often it changed hands, and when it last did: for people.
    pub transitions: i32,
    pub acquired: Option<Timestamp>,
    /// What others wrote about it, which stays: labels, owners, annotations.
    pub metadata: Arc<ObjectMeta>,
    /// Changes with every write.
    pub revision: Box<str>,
}

impl Found {
    /// Whether it is the same Lease as it was before. Revisions of one object only rise, unless
    /// the cluster was restored from a backup.
    pub(super) fn is_before(&self, other: &Self) -> bool {
        let number = |found: &Self| found.revision.parse::<u64>().ok();
        let numbers = number(self).zip(number(other));
        self.metadata.uid == other.metadata.uid && numbers.is_some_and(|(a, b)| a < b)
    }
}

/// The Lease as it was last seen, and since when it is so.
#[derive(Clone, Debug, Default)]
pub struct Sight {
    /// `None` inside: there is none. `None` outside: nobody looked yet.
    last: Option<(Option<Found>, Duration)>,
}

impl Sight {
    /// Takes note of what was read at this time.
    pub fn look(&mut self, found: Option<Found>, now: Duration) {
        let same = self.last.as_ref().is_some_and(|(last, _)| *last == found);
        if !same {
            self.last = Some((found, now));
        }
    }

    /// The Lease, if it was seen and there is one.
    pub fn found(&self) -> Option<&Found> {
        self.last.as_ref()?.0.as_ref()
    }

    /// Whether it can be taken: there is none, it was given back, it is one's own from before,
    /// or its holder let it run out.
    pub fn is_free(&self, me: &Holder, now: Duration) -> bool {
        match &self.last {
            None => false,
            Some((None, _)) => true,
            Some((Some(found), since)) => match &found.holder {
                None => true,
                Some(holder) if holder.identity == me.identity => true,
                Some(_) => now >= *since + found.duration,
            },
        }
    }

    /// When it will be free if it does not change; `None` if nobody looked yet.
    pub fn free_at(&self, me: &Holder) -> Option<Duration> {
        let (found, since) = self.last.as_ref()?;
        let held = found.as_ref().filter(|_| !self.is_free(me, Duration::ZERO));
        Some(held.map_or(Duration::ZERO, |found| *since + found.duration))
    }

    /// Where another that holds it is reached. One that had this replica's address, and another
    /// identity, is gone: it was the pod of this name before, and nobody is to be sent there.
    pub fn leader(&self, me: &Holder, now: Duration) -> Option<Arc<str>> {
        let holder = self.found()?.holder.as_ref()?;
        let is_elsewhere = !holder.address.is_empty() && holder.address != me.address;
        let reached = is_elsewhere && !self.is_free(me, now);
        reached.then(|| holder.address.clone())
    }
}
