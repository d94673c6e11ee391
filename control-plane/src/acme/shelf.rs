//! Records in a store, as this term writes them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use crate::acme::record::Record;
use crate::backoff::delay;
use crate::event::Epoch;
use crate::model::key::Origin;
use crate::store::{Body, Draft, MAX_BYTES, Store, StoreError};

/// The store, and in whose name it is written to. A clone is another handle on it.
#[derive(Debug)]
pub(super) struct Shelf<S> {
    store: Arc<S>,
    lineage: Arc<str>,
    epoch: Epoch,
}

/// What lies under a name.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Record(Record, Box<str>),
    /// It cannot be read, or is a later leader's: it is left alone.
    Unusable,
}

/// All that lies there.
#[derive(Debug, Default)]
pub(super) struct All {
    pub(super) records: Vec<(Record, Box<str>)>,
    /// The names of those that cannot be used.
    pub(super) unusable: BTreeSet<Box<str>>,
}

/// A record was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShelfError {
    /// It is not what it was.
    #[error("somebody else changed it")]
    Conflict,
    #[error("{0}")]
    Failed(String),
}

impl<S> Clone for Shelf<S> {
    fn clone(&self) -> Self {
        Self {
            store: Arc::clone(&self.store),
            lineage: Arc::clone(&self.lineage),
            epoch: self.epoch,
        }
    }
}

impl<S: Store> Shelf<S> {
    pub(super) fn new(store: S, lineage: Arc<str>, epoch: Epoch) -> Self {
        Self {
            store: Arc::new(store),
            lineage,
            epoch,
        }
    }

    pub(super) fn origin(&self) -> Origin {
        self.store.origin()
    }

    pub(super) fn whereabouts(&self) -> String {
        self.store.whereabouts()
    }

    /// All records, with their revisions.
    pub(super) async fn all(&self) -> Result<All, StoreError> {
        let all = timeout(READ, self.store.all());
        let bodies = all
            .await
            .unwrap_or_else(|_| Err(StoreError::silent(READ)))?;
        let shelf = self.clone();
        // Thousands of keys are read.
        let sorted = spawn_blocking(move || {
            let mut all = All::default();
            for body in bodies {
                match shelf.read(&body) {
                    Found::Record(record, revision) => all.records.push((record, revision)),
                    Found::Nothing => {}
                    Found::Unusable => {
                        all.unusable.insert(body.name);
                    }
                }
            }
            all
        });
        let failed = |error: tokio::task::JoinError| StoreError::Unavailable(error.to_string());
        sorted.await.map_err(failed)
    }

    /// What lies under this name.
    pub(super) async fn one(&self, name: &str) -> Result<Found, ShelfError> {
        let body = self.attempts(|| self.store.one(name)).await?;
        Ok(body.map_or(Found::Nothing, |body| self.read(&body)))
    }

    /// Keeps a record, over one of this revision if there is one, and returns its revision.
    pub(super) async fn put(
        &self,
        record: &Record,
        over: Option<&str>,
    ) -> Result<Box<str>, ShelfError> {
        let name = record.name();
        let bytes = record.encode(&self.lineage, self.epoch);
        let bytes = bytes.map_err(|error| ShelfError::Failed(error.to_string()))?;
        if bytes.len() > MAX_BYTES {
            let most = MAX_BYTES >> 10;
            let message = format!("it has {} bytes, and {most} KiB are kept", bytes.len());
            return Err(ShelfError::Failed(message));
        }
        self.attempts(|| {
            let draft = Draft {
                name: &name,
                about: record.about(),
                bytes: bytes.clone(),
            };
            self.store.put(draft, over)
        })
        .await
    }

    /// Removes the record of this revision.
    pub(super) async fn remove(&self, name: &str, revision: &str) -> Result<(), ShelfError> {
        self.attempts(|| self.store.remove(name, revision)).await
    }

    /// Where the record of this name lies, for people.
    pub(super) fn place(&self, name: &str) -> String {
        self.store.place(name)
    }

    /// Tries a few times.
    async fn attempts<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, ShelfError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut in_a_row = 0;
        loop {
            let outcome = timeout(WRITE, attempt()).await;
            let error = match outcome.unwrap_or_else(|_| Err(StoreError::silent(WRITE))) {
                Ok(outcome) => return Ok(outcome),
                Err(StoreError::Conflict) => return Err(ShelfError::Conflict),
                Err(error) => error,
            };
            in_a_row += 1;
            if in_a_row == ATTEMPTS {
                return Err(ShelfError::Failed(error.to_string()));
            }
            sleep(delay(in_a_row)).await;
        }
    }

    fn read(&self, body: &Body) -> Found {
        let place = self.store.place(&body.name);
        match Record::decode(&body.bytes, &self.lineage, self.epoch) {
            Ok(record) if record.name() == body.name => {
                return Found::Record(record, body.revision.clone());
            }
            Ok(_) => tracing::error!("{place} is left alone: it holds what has another name"),
            Err(error) => tracing::error!("{place} is left alone: it {error}"),
        }
        Found::Unusable
    }
}

/// How long the store may take to tell all that it holds.
const READ: Duration = Duration::from_secs(60);
/// How long it may take for one record.
const WRITE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 3;
