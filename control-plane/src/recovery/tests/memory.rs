//! A store in memory, which fails when it is told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::model::key::Origin;
use crate::store::{Body, Draft, Store, StoreError};

/// The store; a clone is another handle to it.
#[derive(Clone)]
pub(super) struct Memory {
    origin: Origin,
    shelf: Arc<watch::Sender<Shelf>>,
}

/// What it holds, and what was asked of it.
#[derive(Clone, Default)]
pub(super) struct Shelf {
    pub(super) bodies: BTreeMap<Box<str>, (Vec<u8>, u64)>,
    written: u64,
    /// How often everything was looked at, in vain or not.
    pub(super) looks: usize,
    /// How often something failed.
    pub(super) refused: usize,
    failure: Option<fn() -> StoreError>,
    unwelcome: Option<Box<str>>,
}

impl Memory {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            shelf: Arc::default(),
        }
    }

    /// What anybody else does to it.
    pub(super) fn write(&self, name: &str, bytes: Vec<u8>) {
        self.shelf.send_modify(|shelf| shelf.set(name, bytes));
    }

    pub(super) fn remove_unseen(&self, name: &str) {
        self.shelf.send_modify(|shelf| {
            shelf.bodies.remove(name);
        });
    }

    /// From now on every answer is this.
    pub(super) fn fail(&self, failure: fn() -> StoreError) {
        self.shelf
            .send_modify(|shelf| shelf.failure = Some(failure));
    }

    pub(super) fn mend(&self) {
        self.shelf.send_modify(|shelf| shelf.failure = None);
    }

    /// A body of this name is not taken.
    pub(super) fn refuse(&self, name: &str) {
        self.shelf
            .send_modify(|shelf| shelf.unwelcome = Some(name.into()));
    }

    pub(super) fn shelf(&self) -> Shelf {
        self.shelf.borrow().clone()
    }

    /// Waits for this; the clock of the tests runs ahead meanwhile.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Shelf) -> bool) {
        let mut shelf = self.shelf.subscribe();
        let waited = timeout(Duration::from_secs(86_400), shelf.wait_for(holds));
        assert!(waited.await.is_ok(), "waited in vain: {what}");
    }

    fn act<T>(
        &self,
        act: impl FnOnce(&mut Shelf) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut outcome = Err(StoreError::Conflict);
        self.shelf.send_modify(|shelf| {
            outcome = match shelf.failure {
                Some(failure) => Err(failure()),
                None => act(shelf),
            };
            shelf.refused += usize::from(outcome.is_err());
        });
        outcome
    }
}

impl Shelf {
    fn set(&mut self, name: &str, bytes: Vec<u8>) {
        self.written += 1;
        self.bodies.insert(name.into(), (bytes, self.written));
    }

    fn is_at(&self, name: &str, revision: Option<&str>) -> bool {
        let found = self
            .bodies
            .get(name)
            .map(|(_, revision)| revision.to_string());
        found.as_deref() == revision
    }
}

fn body(name: &str, (bytes, revision): &(Vec<u8>, u64)) -> Body {
    Body {
        name: name.into(),
        bytes: bytes.clone(),
        revision: revision.to_string().into(),
    }
}

impl Store for Memory {
    fn origin(&self) -> Origin {
        self.origin
    }

    async fn all(&self) -> Result<Vec<Body>, StoreError> {
        self.shelf.send_modify(|shelf| shelf.looks += 1);
        self.act(|shelf| {
            let bodies = shelf.bodies.iter();
            Ok(bodies.map(|(name, held)| body(name, held)).collect())
        })
    }

    async fn one(&self, name: &str) -> Result<Option<Body>, StoreError> {
        self.act(|shelf| Ok(shelf.bodies.get(name).map(|held| body(name, held))))
    }

    async fn put(&self, draft: Draft<'_>, over: Option<&str>) -> Result<Box<str>, StoreError> {
        self.act(|shelf| {
            if shelf.unwelcome.as_deref() == Some(draft.name) {
                return Err(StoreError::Refused("not this one".into()));
            }
            if !shelf.is_at(draft.name, over) {
                return Err(StoreError::Conflict);
            }
            shelf.set(draft.name, draft.bytes);
            Ok(shelf.written.to_string().into())
        })
    }

    async fn remove(&self, name: &str, revision: &str) -> Result<(), StoreError> {
        self.act(|shelf| {
            if shelf.bodies.contains_key(name) && !shelf.is_at(name, Some(revision)) {
                return Err(StoreError::Conflict);
            }
            shelf.bodies.remove(name);
            Ok(())
        })
    }

    fn whereabouts(&self) -> String {
        "in memory".into()
    }

    fn place(&self, name: &str) -> String {
        format!("body {name}")
    }
}
