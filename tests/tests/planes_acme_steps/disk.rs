//! Where an issuer keeps what it obtains, in memory, on which one write goes wrong.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use roadstead_control_plane::{
    model::key::Origin,
    store::{Body, Draft, Store, StoreError},
};
use tokio::sync::watch;

/// What is kept, whoever keeps it. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<watch::Sender<Bodies>>);

#[derive(Clone, Debug, Default, PartialEq)]
struct Bodies {
    bodies: BTreeMap<Box<str>, Body>,
    writes: u64,
}

/// What goes wrong with a write, of those of one process the first being 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Never,
    /// Nothing of the process is done any more, with the write or without.
    Stops {
        at: usize,
        done: bool,
    },
    /// It is done, and an error is told.
    Lost {
        at: usize,
    },
    /// It and some that follow are refused, while somebody labels what lies there.
    Labelled {
        at: usize,
    },
}

/// The same, as one process reaches it.
#[derive(Debug)]
pub(crate) struct Disk {
    kept: Kept,
    fault: Fault,
    progress: watch::Sender<Progress>,
}

/// How far a process has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Attempts to write.
    pub(crate) writes: usize,
    /// Records that were looked at one by one.
    pub(crate) reads: usize,
    /// Its fault came.
    pub(crate) faulted: bool,
    /// One that was stopped before a write goes on.
    pub(crate) released: bool,
}

impl Kept {
    /// As one process reaches it, and how far that has come.
    pub(crate) fn disk(&self, fault: Fault) -> (Disk, watch::Sender<Progress>) {
        let progress = watch::Sender::default();
        let disk = Disk {
            kept: self.clone(),
            fault,
            progress: progress.clone(),
        };
        (disk, progress)
    }

    /// All of it, to be compared.
    pub(crate) fn all(&self) -> Vec<Body> {
        self.0.borrow().bodies.values().cloned().collect()
    }

    /// Whether an order is kept of which nobody knows whether the CA has it.
    pub(crate) fn intends(&self) -> bool {
        self.all().iter().any(|body| {
            let body = String::from_utf8_lossy(&body.bytes);
            body.contains(r#""step":"intended""#)
        })
    }

    /// Somebody changes it, and not what it says.
    fn label(&self, name: &str) {
        self.0.send_modify(|kept| {
            kept.writes += 1;
            let revision = kept.writes.to_string();
            if let Some(body) = kept.bodies.get_mut(name) {
                body.revision = revision.into();
            }
        });
    }

    fn write(&self, draft: &Draft<'_>, over: Option<&str>) -> Result<Box<str>, StoreError> {
        let mut written = Err(StoreError::Conflict);
        self.0.send_modify(|kept| {
            if kept.revision(draft.name) != over {
                return;
            }
            kept.writes += 1;
            let revision: Box<str> = kept.writes.to_string().into();
            let body = Body {
                name: draft.name.into(),
                bytes: draft.bytes.clone(),
                revision: revision.clone(),
            };
            kept.bodies.insert(draft.name.into(), body);
            written = Ok(revision);
        });
        written
    }
}

impl Bodies {
    fn revision(&self, name: &str) -> Option<&str> {
        self.bodies.get(name).map(|body| &*body.revision)
    }
}

impl Disk {
    /// Goes on once it is released.
    async fn stop(&self) {
        self.progress
            .send_modify(|progress| progress.faulted = true);
        let mut progress = self.progress.subscribe();
        if progress
            .wait_for(|progress| progress.released)
            .await
            .is_err()
        {
            pending().await
        }
    }
}

impl Store for Disk {
    fn origin(&self) -> Origin {
        Origin::Folder
    }

    async fn all(&self) -> Result<Vec<Body>, StoreError> {
        Ok(self.kept.all())
    }

    async fn one(&self, name: &str) -> Result<Option<Body>, StoreError> {
        self.progress.send_modify(|progress| progress.reads += 1);
        Ok(self.kept.0.borrow().bodies.get(name).cloned())
    }

    async fn put(&self, draft: Draft<'_>, over: Option<&str>) -> Result<Box<str>, StoreError> {
        self.progress.send_modify(|progress| progress.writes += 1);
        let writes = self.progress.borrow().writes;
        match self.fault {
            Fault::Stops { at, done: false } if at == writes => {
                self.stop().await;
                self.kept.write(&draft, over)
            }
            Fault::Stops { at, done: true } if at == writes => {
                let written = self.kept.write(&draft, over);
                self.stop().await;
                written
            }
            Fault::Lost { at } if at == writes => {
                self.kept.write(&draft, over)?;
                self.progress
                    .send_modify(|progress| progress.faulted = true);
                Err(StoreError::Unavailable("the answer was lost".to_owned()))
            }
            Fault::Labelled { at } if (at..at + REFUSED).contains(&writes) => {
                self.kept.label(draft.name);
                self.progress
                    .send_modify(|progress| progress.faulted = true);
                Err(StoreError::Unavailable("no place".to_owned()))
            }
            Fault::Never | Fault::Stops { .. } | Fault::Lost { .. } | Fault::Labelled { .. } => {
                self.kept.write(&draft, over)
            }
        }
    }

    async fn remove(&self, name: &str, revision: &str) -> Result<(), StoreError> {
        let mut removed = Ok(());
        self.kept.0.send_modify(|kept| {
            if kept.revision(name).is_some_and(|known| known != revision) {
                removed = Err(StoreError::Conflict);
            } else {
                kept.bodies.remove(name);
            }
        });
        removed
    }

    fn whereabouts(&self) -> String {
        "in memory".to_owned()
    }

    fn place(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// More than are tried before it is waited for longer.
const REFUSED: usize = 4;
