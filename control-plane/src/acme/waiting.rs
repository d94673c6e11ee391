//! What keeps certificates waiting, as it is said: once each, for people.

use std::collections::BTreeSet;

use crate::acme::barrier::{Barrier, Proxies};
use crate::acme::record::Kept;
use crate::model::key::ObjectKey;
use crate::model::time::Timestamp;
use crate::plan::issuance::scheduler::Scheduler;
use crate::snapshot::publication::Publication;

/// What was said, and is still so.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// These wait for the proxies.
    at_barrier: BTreeSet<ObjectKey>,
    /// Orders wait for the CA's limits.
    limited: bool,
}

impl Waiting {
    /// Says what was not so before.
    pub(super) fn say(
        &mut self,
        scheduler: &Scheduler<Kept>,
        publication: &Publication,
        proxies: &Proxies<'_>,
        now: Timestamp,
    ) {
        let mut waiting = BTreeSet::new();
        for (key, kept) in scheduler.at_barrier() {
            if self.at_barrier.contains(key) {
                waiting.insert(key.clone());
                continue;
            }
            let barrier = Barrier::of(key, &kept.managed, publication, proxies);
            if !barrier.is_published() {
                continue;
            }
            waiting.insert(key.clone());
            let mut lacking = barrier.lacking();
            match lacking.next() {
                Some(first) => {
                    let others = lacking.count();
                    tracing::info!(
                        %first, others,
                        "{key} waits for proxies to acknowledge the CA's challenge"
                    );
                }
                None if proxies.is_nobody() => {
                    tracing::info!("{key} waits for a proxy to connect");
                }
                None => {}
            }
        }
        self.at_barrier = waiting;
        let limited = scheduler.orders_waiting(now);
        if let Some((orders, until)) = limited
            && !self.limited
        {
            tracing::warn!(orders, %until, "orders wait for the CA's limits");
        }
        self.limited = limited.is_some();
    }
}
