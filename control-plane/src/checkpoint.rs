//! A fold as keyed entries, and back: what start-up and compaction stand on.
//!
//! Separate from the log, which stores bytes: one entry for each object, each resource and each version,
//! so that a checkpoint writes only what changed since the one before.

use std::collections::{BTreeMap, BTreeSet};

use roadstead_proto::v1::ResourceType;
use serde::{Deserialize, Serialize};

use crate::event::codec::SCHEMA;
use crate::event::{Epoch, Record, Seq};
use crate::model::key::ObjectKey;
use crate::project::{Changed, Fold};
use crate::snapshot::{ResourceId, Version};
use crate::state::{Head, Held, State};
use crate::versions::{Made, Versions};

/// What a log came to, and what of it no checkpoint holds yet.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    pub fold: Fold,
    pub dirty: Dirty,
}

impl Restored {
    /// A fold of which the checkpoint holds everything.
    pub fn whole(fold: Fold) -> Self {
        Self {
            fold,
            dirty: Dirty::default(),
        }
    }

    /// Takes in a record that came after the checkpoint.
    pub fn apply(&mut self, record: &Record) {
        let changed = self.fold.apply(record);
        self.dirty.note(record, &changed);
    }
}

/// What has changed since the last checkpoint, be it in this process or before it.
#[derive(Clone, Debug, Default)]
pub struct Dirty {
    records: u64,
    parts: BTreeSet<Part>,
}

/// What is an entry of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Object(ObjectKey),
    Resource(ResourceId),
    Version(Seq),
}

impl Part {
    /// Its key, and its value unless it is gone.
    fn entry(&self, fold: &Fold) -> Result<Entry, serde_json::Error> {
        match self {
            Self::Object(key) => entry(b'o', Some(key), fold.state().object(key)),
            Self::Resource(id) => {
                let resource = fold.snapshot().resources().get(id);
                let value = resource.and_then(|r| Some((r.hash, pair(r.changed_at?))));
                let name = (i32::from(id.kind), id.name.as_ref());
                entry(b'r', Some(&name), value.as_ref())
            }
            Self::Version(seq) => entry(b'v', Some(seq), fold.versions().made_by(*seq)),
        }
    }
}

impl Dirty {
    /// Remembers what a record changed.
    pub fn note(&mut self, record: &Record, changed: &Changed) {
        self.records += 1;
        let objects = record.event.object().into_iter().chain(&changed.forgotten);
        let resources = changed.resources.iter().filter(|id| !id.is_endpoints());
        let versions = changed.versions.iter().copied();
        self.parts.extend(objects.cloned().map(Part::Object));
        self.parts.extend(resources.cloned().map(Part::Resource));
        self.parts.extend(versions.map(Part::Version));
    }

    /// Adds what another one remembers.
    pub fn absorb(&mut self, other: Self) {
        self.records += other.records;
        self.parts.extend(other.parts);
    }

    /// As if nothing of this were stored.
    pub fn all(fold: &Fold) -> Self {
        let objects = fold.state().objects().map(|(key, _)| key.clone());
        let resources = fold.snapshot().resources().keys();
        let resources = resources.filter(|id| !id.is_endpoints()).cloned();
        let versions = fold.versions().iter().map(|made| made.seq);
        let parts = objects.map(Part::Object);
        let parts = parts.chain(resources.map(Part::Resource));
        Self {
            records: 0,
            parts: parts.chain(versions.map(Part::Version)).collect(),
        }
    }

    /// How many records there were.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The entries to write: each key with its value, or without one if it is gone. Made one by
    /// one, because all of them together may be as much as the state.
    pub fn entries(&self, fold: &Fold) -> impl Iterator<Item = Result<Entry, serde_json::Error>> {
        let parts = self.parts.iter().map(|part| part.entry(fold));
        std::iter::once_with(move || head(fold)).chain(parts)
    }
}

/// A checkpoint that is being stored in steps, between which records go on.
///
/// What changes after it was written is written again before the end: what is stored is the
/// state at the end, and at no time before.
#[derive(Clone, Debug)]
pub struct Storing {
    /// All that is stored by it, which is lost if it fails.
    all: Dirty,
    waiting: BTreeSet<Part>,
    rounds: usize,
}

impl Storing {
    /// Begins with what has changed so far.
    pub fn new(changed: Dirty) -> Self {
        Self {
            waiting: changed.parts.clone(),
            all: changed,
            rounds: 0,
        }
    }

    /// How many entries are to be written.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next entries to write, up to so many.
    pub fn next(
        &mut self,
        fold: &Fold,
        most: usize,
    ) -> impl Iterator<Item = Result<Entry, serde_json::Error>> {
        let parts = std::iter::from_fn(|| self.waiting.pop_first());
        parts.take(most).map(move |part| part.entry(fold))
    }

    /// Takes over what has changed meanwhile.
    pub fn go_on(&mut self, changed: Dirty) {
        self.waiting.extend(changed.parts.iter().cloned());
        self.all.absorb(changed);
        self.rounds += 1;
    }

    /// How often it took over more.
    pub fn rounds(&self) -> usize {
        self.rounds
    }

    /// What was to be stored.
    pub fn into_all(self) -> Dirty {
        self.all
    }
}

/// The entry that each checkpoint writes: what is known apart from the parts.
pub fn head(fold: &Fold) -> Result<Entry, serde_json::Error> {
    let head = Stored {
        schema: SCHEMA,
        head: fold.state().head().clone(),
        version: pair(fold.snapshot().version()),
        older_versions_forgotten: fold.versions().is_truncated(),
    };
    entry(b'h', None::<&()>, Some(&head))
}

/// A key, and its value unless it is gone.
pub type Entry = (Vec<u8>, Option<Vec<u8>>);

/// A checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(
        "the checkpoint was written by a newer release (schema {schema}; this one knows {SCHEMA})"
    )]
    NewerSchema { schema: u16 },
    #[error("the checkpoint has no head")]
    Headless,
    #[error("the checkpoint has an entry of unknown kind {0}")]
    UnknownEntry(u8),
    #[error("an entry of the checkpoint cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// The fold that these entries hold, in order of their keys: the head says whether the rest can
/// be read.
pub fn restore(
    entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Result<Fold, RestoreError> {
    let mut stored: Option<Stored> = None;
    let mut objects: BTreeMap<ObjectKey, Box<Held>> = BTreeMap::new();
    let mut resources = Vec::new();
    let mut versions: Vec<Made> = Vec::new();
    for (key, value) in entries {
        match key.split_first() {
            Some((b'h', _)) => {
                check(&key, &value)?;
                stored = Some(serde_json::from_slice(&value)?);
            }
            Some((b'o', key)) => {
                objects.insert(
                    serde_json::from_slice(key)?,
                    serde_json::from_slice(&value)?,
                );
            }
            Some((b'r', key)) => {
                let (kind, name): (i32, Box<str>) = serde_json::from_slice(key)?;
                let (hash, changed_at): ([u8; 16], _) = serde_json::from_slice(&value)?;
                if let Ok(kind) = ResourceType::try_from(kind) {
                    let id = ResourceId::new(kind, name);
                    resources.push((id, hash, version(changed_at)));
                }
            }
            Some((b'v', _)) => versions.push(serde_json::from_slice(&value)?),
            Some((kind, _)) => return Err(RestoreError::UnknownEntry(*kind)),
            None => return Err(RestoreError::UnknownEntry(0)),
        }
    }
    let mut stored = stored.ok_or(RestoreError::Headless)?;
    let head = &mut stored.head;
    if head.synced == Epoch::default() && !head.listed.is_empty() {
        // Schema 1 did not say in which term.
        head.synced = head.epoch;
        head.synced_until = head.seq;
    }
    let mut fold = Fold::from_state(State::restore(stored.head, objects));
    let versions = Versions::restore(versions, stored.older_versions_forgotten);
    fold.restore(version(stored.version), resources, versions);
    Ok(fold)
}

/// Whether this release can read the checkpoint that begins with this entry: the head says so.
pub fn check(key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
    if !key.starts_with(b"h") {
        return Err(RestoreError::Headless);
    }
    let Written { schema } = serde_json::from_slice(value)?;
    if schema > SCHEMA {
        return Err(RestoreError::NewerSchema { schema });
    }
    Ok(())
}

/// What any release can read of a head.
#[derive(Deserialize)]
struct Written {
    #[serde(default = "first_schema")]
    schema: u16,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    /// Of all entries. The first checkpoints have none.
    #[serde(default = "first_schema")]
    schema: u16,
    head: Head,
    version: (Epoch, Seq),
    older_versions_forgotten: bool,
}

fn first_schema() -> u16 {
    1
}

fn entry(
    kind: u8,
    name: Option<&impl Serialize>,
    value: Option<&impl Serialize>,
) -> Result<Entry, serde_json::Error> {
    let mut key = vec![kind];
    if let Some(name) = name {
        serde_json::to_writer(&mut key, name)?;
    }
    Ok((key, value.map(serde_json::to_vec).transpose()?))
}

fn pair(version: Version) -> (Epoch, Seq) {
    (version.epoch, version.seq)
}

fn version((epoch, seq): (Epoch, Seq)) -> Version {
    Version { epoch, seq }
}
