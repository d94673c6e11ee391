//! A snapshot as it is published: numbered, with the way back to those before it.
//!
//! Apart from the snapshot, because a stream needs to know what changed since what it sent
//! last, and that is a matter of this process and its streams, not of the configuration.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use crate::snapshot::{ResourceId, Snapshot, Version};

/// A snapshot, and what changed in each of the publications before it.
#[derive(Clone, Debug, Default)]
pub struct Publication {
    number: u64,
    lineage: Arc<str>,
    snapshot: Snapshot,
    /// What each publication changed; the oldest are forgotten.
    journal: OrdMap<u64, Arc<[ResourceId]>>,
    /// Resources named in `journal`, so that it can be bounded.
    journalled: usize,
    restores: Option<Version>,
    known: Option<Known>,
    trace_parent: Option<Box<str>>,
}

/// What a log knows that may lack what another has.
#[derive(Clone, Debug)]
pub struct Known {
    /// All versions up to this one.
    pub up_to: Version,
    /// Of later terms those up to these.
    pub later: Arc<[Version]>,
}

impl Known {
    fn has(&self, version: Version) -> bool {
        let mut later = self.later.iter();
        version <= self.up_to || later.any(|last| last.epoch == version.epoch && version <= *last)
    }
}

impl Publication {
    /// Numbers rise by one, from 1 for the first of a process.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is one. The one before the first says nothing, and nobody is told of it.
    pub fn is_something(&self) -> bool {
        self.number > 0
    }

    /// Id of the installation.
    pub fn lineage(&self) -> &Arc<str> {
        &self.lineage
    }

    /// What is published.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The next publication: this snapshot, in which these resources changed.
    #[must_use]
    pub fn succeed(
        &self,
        lineage: Arc<str>,
        snapshot: Snapshot,
        changed: Arc<[ResourceId]>,
    ) -> Self {
        let mut journal = self.journal.clone();
        let mut journalled = self.journalled + changed.len();
        journal.insert(self.number + 1, changed);
        while journalled > JOURNAL_RESOURCES || journal.len() > JOURNAL_PUBLICATIONS {
            let (oldest, rest) = journal.without_min();
            journalled -= oldest.map_or(journalled, |changed| changed.len());
            journal = rest;
        }
        Self {
            number: self.number + 1,
            lineage,
            snapshot,
            journal,
            journalled,
            restores: None,
            known: None,
            trace_parent: None,
        }
    }

    /// Nothing, in the place of what was, and without the way back: what comes next has nothing to
    /// do with it. It has a number that nobody was told of, so that nothing is a change of what was
    /// told before.
    #[must_use]
    pub fn forgetting(&self) -> Self {
        Self {
            number: self.number + u64::from(self.is_something()),
            ..Self::default()
        }
    }

    /// The same, as what is found in a log, before a leader has listed all: nobody who holds this
    /// version, or a later one, is told of it. The log may lack what they were told. Endpoints are
    /// written behind, and may be older in the log than where they were sent with it.
    #[must_use]
    pub fn restoring(self, version: Version) -> Self {
        Self {
            restores: Some(version),
            ..self
        }
    }

    /// The same, of a log that knows no more than this: nobody who holds something else is told of it.
    #[must_use]
    pub fn knowing(self, known: Known) -> Self {
        Self {
            known: Some(known),
            ..self
        }
    }

    /// The same, as part of a trace: the W3C `traceparent` of what published it.
    #[must_use]
    pub fn traced(self, trace_parent: Option<Box<str>>) -> Self {
        Self {
            trace_parent,
            ..self
        }
    }

    /// The W3C `traceparent` of what published it, if that is traced.
    pub fn trace_parent(&self) -> Option<&str> {
        self.trace_parent.as_deref()
    }

    /// Whether it is only what was found in the log.
    pub fn is_restored(&self) -> bool {
        self.restores.is_some()
    }

    /// Whether some are not told of it who hold more than its log.
    pub fn is_partial(&self) -> bool {
        self.known.is_some()
    }

    /// Whether who holds this version would at best learn nothing from it: it holds all that the log
    /// knows for sure, and may hold more.
    pub fn only_restores(&self, lineage: &str, version: Version) -> bool {
        let has_all = self.restores.is_some_and(|restored| restored <= version);
        let has_more = self.known.as_ref().is_some_and(|known| !known.has(version));
        (has_all || has_more) && *self.lineage == *lineage
    }

    /// Whether it is still known what changed since an earlier publication of this process.
    pub fn remembers(&self, number: u64) -> bool {
        number == self.number || (number < self.number && self.journal.contains_key(&(number + 1)))
    }

    /// What changed since an earlier publication of this process; `None` if that is no longer
    /// known, and the ends must compare their digests.
    pub fn changed_since(&self, number: u64) -> Option<BTreeSet<&ResourceId>> {
        if !self.remembers(number) {
            return None;
        }
        let changes = self
            .journal
            .range(number + 1..)
            .flat_map(|(_, changed)| changed.iter());
        Some(changes.collect())
    }
}

/// Beyond this many changed resources a comparison by digest is cheaper than a long memory.
const JOURNAL_RESOURCES: usize = 16_384;
/// Publications that changed little still cost an entry each.
const JOURNAL_PUBLICATIONS: usize = 4_096;
