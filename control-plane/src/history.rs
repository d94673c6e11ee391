//! The past, for those who ask: events as they were logged, snapshots as they were served.
//!
//! Apart from the engine, which knows only now: here records are read and folded again, on
//! threads of their own, few at a time, and what was asked for last is kept. Hosts and certificates
//! are told from there, too: so their report costs the engine nothing, and any replica has it.

pub mod archive;
mod biography;
mod read;
mod recent;
mod replay;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::event::{Record, Seq};
use crate::history::archive::{Archive, ArchiveError};
use crate::history::recent::Recent;
use crate::model::key::ObjectKey;
use crate::model::time::Timestamp;
use crate::project::Fold;
use crate::project::hosts::Hosts;
use crate::project::inventory::Inventory;
use crate::replication::Place;
use crate::snapshot::Snapshot;
use crate::state::endpoints::SliceMap;
use crate::versions::Versions;

pub use biography::{Biography, Told};
pub use replay::{Beginning, Encoded, beginning};

/// How far the log has come.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The last record that is durable and applied.
    pub newest: Seq,
    /// What another log must have in common with this one.
    pub place: Place,
    /// How often another history took the place of all that was.
    pub restarts: u64,
    pub versions: Versions,
    /// The endpoints of now, which no record holds.
    pub slices: SliceMap,
}

/// The side of the engine: tells how far the log has come.
#[derive(Debug)]
pub struct Recorder {
    progress: watch::Sender<Progress>,
}

impl Recorder {
    /// A recorder that begins with what is known at start.
    pub fn new(fold: &Fold) -> Self {
        Self {
            progress: watch::Sender::new(Progress::of(fold)),
        }
    }

    /// All records up to the last of this fold are durable; or its endpoints changed.
    pub fn reached(&self, fold: &Fold) {
        let restarts = self.progress.borrow().restarts;
        let progress = Progress::of(fold);
        self.progress.send_replace(Progress {
            restarts,
            ..progress
        });
    }

    /// Another history took the place of what was.
    pub fn restarted(&self, fold: &Fold) {
        let restarts = self.progress.borrow().restarts + 1;
        let progress = Progress::of(fold);
        self.progress.send_replace(Progress {
            restarts,
            ..progress
        });
    }

    /// What [`History`] needs.
    pub fn subscribe(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}

impl Progress {
    fn of(fold: &Fold) -> Self {
        Self {
            newest: fold.state().seq(),
            place: Place::of(fold.state().head()),
            restarts: 0,
            versions: fold.versions().clone(),
            slices: fold.state().slices().clone(),
        }
    }
}

/// The past can not be told.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("there was no version yet at sequence number {asked}")]
    BeforeFirst { asked: Seq },
    #[error("sequence number {asked} has not come yet: the log ends at {newest}")]
    Future { asked: Seq, newest: Seq },
    #[error("sequence number {asked} is no longer retained: the oldest is {oldest}")]
    Forgotten { asked: Seq, oldest: Seq },
    #[error("the log ends at {here}, and has nothing for one that ends at {there}")]
    Behind { here: Place, there: Place },
    #[error("too many ask for the past at once")]
    Busy,
    #[error("the log cannot be read: {0}")]
    Unreadable(String),
}

impl HistoryError {
    fn from_archive(asked: Seq, error: ArchiveError) -> Self {
        match error {
            ArchiveError::Forgotten { oldest } => Self::Forgotten { asked, oldest },
            ArchiveError::Newer(error) => Self::Unreadable(error.into()),
            ArchiveError::Unreadable(error) => Self::Unreadable(error.to_string()),
        }
    }
}

/// A snapshot as it was served.
#[derive(Debug)]
pub struct Past {
    /// Its endpoints are empty: no record holds them.
    pub snapshot: Snapshot,
    /// Id of the installation then.
    pub lineage: Arc<str>,
    /// When this version came to be, if that is still known.
    pub time: Option<Timestamp>,
    /// The last record that is known not to have changed it.
    until: Seq,
}

impl Past {
    /// Whether it was what was served when this was the last record.
    fn served_at(&self, seq: Seq) -> bool {
        self.snapshot.version().seq <= seq && seq <= self.until
    }
}

/// Some events in order.
#[derive(Clone, Debug)]
pub struct Events {
    pub events: Vec<Logged>,
    /// Where the next ones are; `None` at the end of the log.
    pub next: Option<Seq>,
    /// From where on all events are retained.
    pub oldest: Seq,
}

/// An event as it was logged.
#[derive(Clone, Debug)]
pub struct Logged {
    pub record: Record,
    /// The whole record as JSON.
    pub json: String,
}

/// Reads the past.
#[derive(Clone, Debug)]
pub struct History {
    archive: Arc<dyn Archive>,
    progress: watch::Receiver<Progress>,
    recent: Recent<Past>,
    surveys: Recent<Hosts>,
    inventories: Recent<Inventory>,
    readers: Arc<Semaphore>,
}

impl History {
    /// A reader of this archive.
    pub fn new(archive: Arc<dyn Archive>, progress: watch::Receiver<Progress>) -> Self {
        Self {
            archive,
            progress,
            recent: Recent::of(PASTS),
            surveys: Recent::of(SURVEYS),
            inventories: Recent::of(SURVEYS),
            readers: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// The same past, for those who must not wait for people.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            recent: Recent::of(PASTS),
            surveys: Recent::of(SURVEYS),
            inventories: Recent::of(SURVEYS),
            readers: Arc::new(Semaphore::new(READERS)),
            ..self.clone()
        }
    }

    /// How a replica whose log ends there goes on.
    pub async fn beginning(&self, after: Place, leads: bool) -> Result<Beginning, HistoryError> {
        let here = self.progress.borrow().place.clone();
        self.read(move |archive| beginning(archive, &here, &after, leads))
            .await
    }

    /// Records from a place up to the newest, as many as fit into a message.
    pub async fn records(&self, from: Seq) -> Result<Vec<Encoded>, HistoryError> {
        let newest = self.progress.borrow().newest;
        self.read(move |archive| replay::records(archive, from, newest))
            .await
    }

    /// How far the log has come, now and whenever it moves.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// From where on events are retained. The version that was served just before can still be
    /// seen, and none before that.
    pub fn oldest(&self) -> Seq {
        self.archive.oldest()
    }

    /// The snapshot that was served when this was the last record.
    pub async fn at(&self, asked: Seq) -> Result<Arc<Past>, HistoryError> {
        let Progress {
            newest,
            versions,
            restarts,
            ..
        } = self.progress.borrow().clone();
        if let Some(past) = self.recent.find(restarts, |past| past.served_at(asked)) {
            return Ok(past);
        }
        if asked > newest {
            return Err(HistoryError::Future { asked, newest });
        }
        // The version's last record, because a checkpoint may stand between its first and that,
        // and be all that is retained of it.
        let until = versions.served_until(asked, newest).unwrap_or(asked);
        let recent = self.recent.clone();
        let read = move |archive: &dyn Archive| {
            // Another may have asked for the same while this one waited.
            if let Some(past) = recent.find(restarts, |past| past.served_at(asked)) {
                return Ok(past);
            }
            let past = Arc::new(read::past(archive, asked, until)?);
            recent.remember(restarts, &past);
            Ok(past)
        };
        self.read(read).await
    }

    /// All hosts, as they stood when this was the last record; now, if none is named.
    pub async fn hosts(&self, asked: Option<Seq>) -> Result<Arc<Hosts>, HistoryError> {
        self.survey(&self.surveys, asked, |hosts| hosts.seq, Hosts::of)
            .await
    }

    /// All certificates, in the same way.
    pub async fn inventory(&self, asked: Option<Seq>) -> Result<Arc<Inventory>, HistoryError> {
        let of = Inventory::of;
        self.survey(&self.inventories, asked, |found| found.seq, of)
            .await
    }

    /// What is made of the fold of all records up to one, or up to the newest.
    async fn survey<T: Send + Sync + 'static>(
        &self,
        recent: &Recent<T>,
        asked: Option<Seq>,
        seq: fn(&T) -> Seq,
        of: fn(&Fold) -> T,
    ) -> Result<Arc<T>, HistoryError> {
        let (newest, restarts) = {
            let progress = self.progress.borrow();
            (progress.newest, progress.restarts)
        };
        let asked = asked.unwrap_or(newest);
        if asked > newest {
            return Err(HistoryError::Future { asked, newest });
        }
        let known = move |answer: &T| seq(answer) == asked;
        if let Some(answer) = recent.find(restarts, known) {
            return Ok(answer);
        }
        let recent = recent.clone();
        self.read(move |archive| {
            // Another may have asked for the same while this one waited.
            if let Some(answer) = recent.find(restarts, known) {
                return Ok(answer);
            }
            let answer = Arc::new(of(&read::fold(archive, asked, asked)?));
            recent.remember(restarts, &answer);
            Ok(answer)
        })
        .await
    }

    /// Events about an object before a place, the newest first: at most so many, and not many
    /// bytes.
    pub async fn biography(
        &self,
        object: ObjectKey,
        before: Seq,
        limit: usize,
    ) -> Result<Biography, HistoryError> {
        let versions = self.progress.borrow().versions.clone();
        self.read(move |archive| biography::read(archive, &versions, &object, before, limit))
            .await
    }

    /// Events from a sequence number on: at most so many, and not many bytes.
    pub async fn events(&self, from: Seq, limit: usize) -> Result<Events, HistoryError> {
        let newest = self.progress.borrow().newest;
        self.read(move |archive| read::events(archive, from, newest, limit))
            .await
    }

    /// Reads on a thread of its own: the log's reads block, and folding takes its time.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Archive) -> Result<T, HistoryError> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let waiting = timeout(PATIENCE, Arc::clone(&self.readers).acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            return Err(HistoryError::Busy);
        };
        let archive = Arc::clone(&self.archive);
        let reading = spawn_blocking(move || {
            let result = read(&*archive);
            drop(permit);
            result
        });
        reading
            .await
            .unwrap_or_else(|error| Err(HistoryError::Unreadable(error.to_string())))
    }
}

/// Folding takes a core for as long as it lasts, and traffic may need the other.
const READERS: usize = 2;
/// Enough for a few people to compare two versions each.
const PASTS: usize = 8;
/// Of now, and of a moment ago, which somebody still pages through.
const SURVEYS: usize = 2;
/// How long someone who asks waits for a turn.
const PATIENCE: Duration = Duration::from_secs(20);
