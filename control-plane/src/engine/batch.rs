//! Observations that may be taken in together.
//!
//! All of a batch is compared with the same `State`, so no two of its observations may speak
//! of the same object: the second would not see what the first did.

use std::collections::BTreeSet;

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::observe::Observation;

/// Observations of different objects, in the order in which they were seen.
#[derive(Debug, Default)]
pub struct Batch {
    observations: Vec<Observation>,
    objects: BTreeSet<ObjectKey>,
    /// Kinds of which the batch holds an object.
    seen: BTreeSet<(Origin, Kind)>,
    /// Kinds of which the batch holds a list or recovery records, which speak of all objects
    /// of the kind.
    listed: BTreeSet<(Origin, Kind)>,
    configured: bool,
}

impl Batch {
    /// Adds an observation, or gives it back: it has to wait for the next batch.
    pub fn add(&mut self, observation: Observation) -> Option<Observation> {
        let admitted = self.observations.len() < MAX_OBSERVATIONS
            && match &observation {
                Observation::Configured(_) => !std::mem::replace(&mut self.configured, true),
                Observation::Recovered { origin, .. } => {
                    let kinds = Kind::ALL.map(|kind| (*origin, kind));
                    let mut spoken_of = self.seen.union(&self.listed);
                    let free = !spoken_of.any(|kind| kinds.contains(kind));
                    if free {
                        self.listed.extend(kinds);
                    }
                    free
                }
                Observation::Confirmed(_) => {
                    // What is held may be of any kind, and is deleted.
                    let free = self.seen.is_empty() && self.listed.is_empty();
                    for origin in Origin::ALL {
                        self.listed.extend(Kind::ALL.map(|kind| (origin, kind)));
                    }
                    free
                }
                Observation::Listed { origin, kind, .. }
                | Observation::Unconfigured { origin, kind } => {
                    let kind = (*origin, *kind);
                    !self.seen.contains(&kind) && self.listed.insert(kind)
                }
                Observation::Vanished { keys, .. } => {
                    let free = |key: &ObjectKey| {
                        !self.listed.contains(&(key.origin, key.kind))
                            && !self.objects.contains(key)
                    };
                    let free = keys.iter().all(free);
                    free && keys.iter().all(|key| self.admit(key))
                }
                Observation::Changed(seen) => self.admit(&seen.key),
                Observation::Deleted(key) => self.admit(key),
                Observation::Unlistable { .. } | Observation::Proxy(_) => true,
            };
        if !admitted {
            return Some(observation);
        }
        self.observations.push(observation);
        None
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.observations.is_empty()
    }

    /// How many were added.
    pub(super) fn len(&self) -> usize {
        self.observations.len()
    }

    /// Whether nothing but proxies' reports was added.
    pub(super) fn is_of_proxies(&self) -> bool {
        let mut seen = self.observations.iter();
        seen.all(|observation| matches!(observation, Observation::Proxy(_)))
    }

    pub(super) fn into_observations(self) -> Vec<Observation> {
        self.observations
    }

    fn admit(&mut self, key: &ObjectKey) -> bool {
        let kind = (key.origin, key.kind);
        let admitted = !self.listed.contains(&kind) && self.objects.insert(key.clone());
        if admitted {
            self.seen.insert(kind);
        }
        admitted
    }
}

/// Bounds a turn, so that a storm is published as it goes.
const MAX_OBSERVATIONS: usize = 1024;
