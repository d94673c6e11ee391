//! Recovery records, kept where they outlive the event log: Secrets of our own namespace, or
//! files in the folder of keys.
//!
//! One keeper for each origin brings its store in line with what `plan` wants, until it is: so
//! a write that failed, or that somebody undid, needs no note. In each term the log is told
//! first what the store holds and it lacks, before anything is listed: all, if it never knew its
//! sources; else what was written after the last record that it has of a term in which all were
//! listed. Once they are listed in this term the log knows better than the store, and no sooner is
//! anything written.

mod attempt;
mod entry;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::backoff::delay;
use crate::event::Epoch;
use crate::event::recovery::{Kept, Place, RecoveryRecord};
use crate::metrics::recovery::RecoveryMetrics;
use crate::observe::Observation;
use crate::plan::recovery::Wanted;
use crate::recovery::entry::Entry;
use crate::store::{Body, Store, StoreError};

/// Who keeps: an installation, in a term.
#[derive(Clone, Debug)]
pub struct Tenure {
    pub lineage: Arc<str>,
    pub epoch: Epoch,
}

/// Keeps the records of one origin.
#[derive(Debug)]
pub struct Keeper<S> {
    store: S,
    tenure: Tenure,
    wanted: watch::Receiver<Wanted>,
    metrics: RecoveryMetrics,
    /// What the store holds, by name; `None`: to be looked at.
    held: Option<BTreeMap<Box<str>, Entry>>,
    /// The store could not be read when the term began: what was written after this may be nowhere
    /// else.
    unread_after: Option<Place>,
    /// What is wrong, as it was said.
    said: BTreeSet<String>,
}

impl<S: Store> Keeper<S> {
    /// Keeps there what is wanted.
    pub fn new(
        store: S,
        tenure: Tenure,
        wanted: watch::Receiver<Wanted>,
        metrics: RecoveryMetrics,
    ) -> Self {
        Self {
            store,
            tenure,
            wanted,
            metrics,
            held: None,
            unread_after: None,
            said: BTreeSet::new(),
        }
    }

    /// Runs until the engine is gone. Tells the log first what it lacks, and gives the word when
    /// the origin may be listed.
    pub async fn run(mut self, inbox: mpsc::Sender<Observation>, listable: oneshot::Sender<()>) {
        if let Some(recovered) = self.recover().await
            && inbox.send(recovered).await.is_err()
        {
            return;
        }
        if listable.send(()).is_err() {
            return;
        }
        let epoch = self.tenure.epoch;
        let synced = self
            .wanted
            .wait_for(|wanted| wanted.synced().epoch >= epoch);
        if synced.await.is_err() {
            return;
        }
        let mut in_a_row = 0;
        loop {
            if self.attempt().await {
                in_a_row = 0;
                tokio::select! {
                    changed = self.wanted.changed() => if changed.is_err() { return },
                    () = sleep(LOOK) => self.held = None,
                }
            } else {
                in_a_row += 1;
                sleep(delay(in_a_row)).await;
            }
        }
    }

    /// What the log lacks. Without it whatever is refused would lose its routes, so a log that
    /// never knew its sources waits until the store is read. Any other most likely lacks nothing,
    /// and its configuration must not stand still for as long as the store cannot be read.
    async fn recover(&mut self) -> Option<Observation> {
        let origin = self.store.origin();
        let (known, synced) = {
            let wanted = self.wanted.borrow();
            (wanted.is_all(origin), wanted.synced())
        };
        if !known {
            let records = self.read().await.into_iter().map(|kept| kept.record);
            let records = records.collect();
            return Some(Observation::Recovered { origin, records });
        }
        let Ok(read) = timeout(PATIENCE, self.read()).await else {
            self.unread_after = Some(synced);
            tracing::error!(
                "what the log has is listed all the same; should it lack what another leader \
                 wrote there, that is left alone in this term, and given up by the next"
            );
            return None;
        };
        let mut records: Vec<RecoveryRecord> = Vec::new();
        for kept in read {
            if self.is_after(&kept, synced) {
                let (key, epoch) = (&kept.record.key, kept.epoch);
                tracing::info!(object = %key, %epoch, "the log lacks what its recovery record has");
                records.push(kept.record);
            }
        }
        (!records.is_empty()).then_some(Observation::Recovered { origin, records })
    }

    /// Whether it was written in this installation after that.
    fn is_after(&self, kept: &Kept, place: Place) -> bool {
        *kept.lineage == *self.tenure.lineage && kept.place > place
    }

    /// All that the store holds and can be used, once it can be read.
    async fn read(&mut self) -> Vec<Kept> {
        let mut in_a_row = 0;
        let bodies = loop {
            match self.all().await {
                Ok(bodies) => break bodies,
                Err(error) => {
                    self.metrics.failure(self.store.origin(), error.cause());
                    let whereabouts = self.store.whereabouts();
                    let problem =
                        format!("the recovery records {whereabouts} cannot be read: {error}");
                    if self.said.insert(problem.clone()) {
                        tracing::error!("{problem}");
                    }
                }
            }
            in_a_row += 1;
            sleep(delay(in_a_row)).await;
        };
        self.said.clear();
        let mut records = Vec::new();
        for body in bodies {
            let place = self.store.place(&body.name);
            match self.kept(&body) {
                Ok(kept) => {
                    if *kept.lineage != *self.tenure.lineage {
                        let lineage = &kept.lineage;
                        tracing::info!(%lineage, "{place} is of another installation, and taken over");
                    }
                    records.push(kept);
                }
                Err(problem) => {
                    tracing::error!("{place} is left alone: it {problem}");
                    self.metrics.failure(self.store.origin(), "unusable");
                }
            }
        }
        let records_read = records.len();
        let whereabouts = self.store.whereabouts();
        tracing::info!(
            records = records_read,
            "the recovery records {whereabouts} were read"
        );
        records
    }

    async fn all(&self) -> Result<Vec<Body>, StoreError> {
        let all = timeout(READ, self.store.all());
        all.await.unwrap_or_else(|_| Err(StoreError::silent(READ)))
    }
}

/// Records of one origin that are kept at most.
const MAX_RECORDS: usize = 1000;
/// How often the store is looked at although nothing else is wanted: somebody may have been at it.
const LOOK: Duration = Duration::from_secs(300);
/// How long the store may take to tell all that it holds.
const READ: Duration = Duration::from_secs(60);
/// How long a log that knew its sources waits for the store, which as a rule has nothing for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take for one record.
const WRITE: Duration = Duration::from_secs(10);
