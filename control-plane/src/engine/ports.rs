//! What the engine needs of the world, so that tests can give it another one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use imbl::{OrdMap, OrdSet};
use roadstead_matcher::host::HostPattern;

use crate::checkpoint::Entry;
use crate::event::{Epoch, Record, Seq};
use crate::model::bundle::Bundle;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::project::Fold;
use crate::project::standing::StandingChange;
use crate::snapshot::publication::Publication;
use crate::state::endpoints::SliceChange;
use crate::state::hold::Holding;

/// What is referred to, and since which record.
pub type InUse = OrdMap<ObjectKey, Seq>;

/// Hosts that lack a certificate.
pub type Lacking = OrdSet<HostPattern>;

/// What the engine needs of the log.
pub trait Log: Send {
    /// Returns once it is durable outside of the log that this epoch was begun: none that
    /// follows, be the log lost, may be lower.
    fn claim(&mut self, epoch: Epoch) -> Result<(), LogError>;

    /// Returns once all of these are durable. After an error nothing is to be believed before
    /// [`Log::resume`].
    fn append(&mut self, records: &[Record]) -> Result<(), LogError>;

    /// Makes the log writable again after an error, and returns what turned out to be durable
    /// after this record.
    fn resume(&mut self, after: Seq) -> Result<Vec<Record>, LogError>;

    /// Moves everything out of the way, so that another history can be stored.
    fn restart(&mut self) -> Result<(), LogError>;

    /// Begins a checkpoint of this record or a later one. What was begun before and not
    /// finished is given up.
    fn begin_checkpoint(&mut self, seq: Seq) -> Result<(), LogError>;

    /// Stores some of what changed since the last checkpoint. Of an entry that comes again the
    /// last one counts.
    fn add_to_checkpoint(
        &mut self,
        changed: &mut dyn Iterator<Item = Result<Entry, LogError>>,
    ) -> Result<(), LogError>;

    /// Finishes the checkpoint, as one of the state at this record.
    fn finish_checkpoint(&mut self, seq: Seq) -> Result<(), LogError>;

    /// Takes a step of what can wait, which makes the log shorter, in bounded time. Says whether
    /// there is another that can be taken at once.
    fn tidy(&mut self) -> Result<bool, LogError>;

    /// Stores endpoints, not durably.
    fn write_endpoints(
        &mut self,
        changes: &BTreeMap<ObjectKey, SliceChange>,
        now: Timestamp,
    ) -> Result<(), LogError>;
}

/// The log was not written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("the event log cannot be written: {0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    /// It could be, and must not: the term is over.
    #[error("this replica no longer leads")]
    Deposed,
}

impl LogError {
    /// It failed for this reason.
    pub fn new(reason: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into())
    }
}

/// Where what the engine makes goes. None of these waits.
pub trait Outlets: Send {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// There is a new publication.
    fn publish(&mut self, publication: Arc<Publication>);

    /// A chain and a key that are referred to, before any record or publication names them.
    fn bundle(&mut self, bundle: Bundle);

    /// Proxies came, went or acknowledged.
    fn presence(&mut self, presence: &Presence);

    /// A record is durable and applied.
    fn recorded(&mut self, record: &Record);

    /// These recovery records are to be kept.
    fn wanted(&mut self, wanted: &Wanted);

    /// All records of a turn are durable and applied, or endpoints changed; this is what is known
    /// after them.
    fn reached(&mut self, fold: &Fold);

    /// A turn is over, and took so long.
    fn turned(&mut self, took: Duration);

    /// An object stands otherwise than before.
    fn standing(&mut self, change: StandingChange);

    /// The engine is at work; called about once a second.
    fn beat(&mut self);

    /// A kind was listed, or cannot be.
    fn listable(&mut self, origin: Origin, kind: Kind, listable: bool);

    /// This is held back now, or was confirmed, and was not so before.
    fn holds(&mut self, holding: &Holding);

    /// Ingresses of ours refer to these Secrets; `None`: that is not known yet, because not
    /// everything was listed that could refer to one.
    fn secrets(&mut self, in_use: Option<&InUse>);

    /// For these hosts an Ingress of ours wants a certificate, and no Secret has one; `None`: that
    /// is not known yet.
    fn lacking(&mut self, lacking: Option<Lacking>);

    /// All awaited lists are complete.
    fn synced(&mut self);

    /// Another history took the place of what was known; this is all of it.
    fn restarted(&mut self, fold: &Fold);

    /// The log can no longer be written, or can again.
    fn frozen(&mut self, frozen: bool);

    /// The sources have to list anew.
    fn relist(&mut self);
}
