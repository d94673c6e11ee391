//! Recovery records, kept where they outlive the event log: Secrets of our own namespace, or
//! files in the folder of keys.
//!
//! One keeper for each origin brings its store in line with what `plan` wants, until it is: so
//! a write that failed, or that somebody undid, needs no note. A log that does not know its
//! sources yet is told first what the store holds, before anything is listed; any other log
//! knows better than the store.

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
use crate::event::recovery::RecoveryRecord;
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
            said: BTreeSet::new(),
        }
    }

    /// Runs until the engine is gone. Tells the log first what it does not know, as long as
    /// that takes, and gives the word when the origin may be listed.
    pub async fn run(mut self, inbox: mpsc::Sender<Observation>, listable: oneshot::Sender<()>) {
        let origin = self.store.origin();
        if !self.wanted.borrow().is_all(origin) {
            let records = self.read().await;
            let recovered = Observation::Recovered { origin, records };
            if inbox.send(recovered).await.is_err() {
                return;
            }
        }
        if listable.send(()).is_err() {
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

    /// All that the store holds and can be used. Without it whatever is refused would lose its
    /// routes, so there is no going on before it is read.
    async fn read(&mut self) -> Vec<RecoveryRecord> {
        let mut in_a_row = 0;
        let bodies = loop {
            match self.all().await {
                Ok(bodies) => break bodies,
                Err(error) => {
                    self.metrics.failure(self.store.origin(), error.cause());
                    let problem = format!(
                        "the recovery records {} cannot be read, and nothing is published \
                         before they are: {error}",
                        self.store.whereabouts()
                    );
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
                    records.push(kept.record);
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
/// How long it may take for one record.
const WRITE: Duration = Duration::from_secs(10);
