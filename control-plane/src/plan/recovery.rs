//! The recovery records that are to be kept.
//!
//! An object that is refused is served as it last was, and of that only the log knows: all else
//! is found again by listing.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;

use crate::event::Event;
use crate::event::recovery::{Place, RecoveryRecord};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::state::State;

/// What is to be kept now. A clone shares what does not change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    records: OrdMap<ObjectKey, Arc<RecoveryRecord>>,
    listed: BTreeSet<Origin>,
    synced: Place,
    place: Place,
}

impl Wanted {
    /// What a state comes to.
    pub fn of(state: &State) -> Self {
        let records = state
            .objects()
            .filter_map(|(key, _)| Some((key.clone(), Arc::new(record(state, key)?))));
        Self {
            records: records.collect(),
            listed: state.head().listed.clone(),
            synced: synced(state),
            place: place(state),
        }
    }

    /// Follows an event that this state has taken in; returns whether anything else is wanted.
    pub fn follow(&mut self, state: &State, event: &Event) -> bool {
        self.synced = synced(state);
        self.place = place(state);
        if let Event::SourcesListed { .. } = event {
            self.listed.clone_from(&state.head().listed);
            return true;
        }
        let forgotten = self.forget_secrets(state);
        let Some(key) = event.object() else {
            return forgotten;
        };
        let changed = match record(state, key) {
            Some(record) => {
                let known = self.records.get(key).is_some_and(|known| **known == record);
                if !known {
                    self.records.insert(key.clone(), Arc::new(record));
                }
                !known
            }
            None => self.records.remove(key).is_some(),
        };
        changed || forgotten
    }

    /// Whoever refers to a Secret no more makes the state forget it.
    fn forget_secrets(&mut self, state: &State) -> bool {
        let first = ObjectKey::before_all(Origin::Kubernetes, Kind::Secret);
        let secrets = self.records.range(first..).map(|(key, _)| key);
        let secrets = secrets.take_while(|key| key.kind == Kind::Secret);
        let forgotten = secrets.filter(|key| state.object(key).is_none());
        let forgotten: Vec<ObjectKey> = forgotten.cloned().collect();
        for key in &forgotten {
            self.records.remove(key);
        }
        !forgotten.is_empty()
    }

    /// The records of an origin, in order of their keys.
    pub fn records(&self, origin: Origin) -> impl Iterator<Item = &Arc<RecoveryRecord>> {
        let records = self.records.values();
        records.filter(move |record| record.key.origin == origin)
    }

    /// Whether the log knows, or once knew, all there is of an origin.
    pub fn is_all(&self, origin: Origin) -> bool {
        self.listed.contains(&origin)
    }

    /// How far the log goes of the last term in which it knew all there is: what was written later
    /// is not known here.
    pub fn synced(&self) -> Place {
        self.synced
    }

    /// As of which record this is what is to be kept.
    pub fn place(&self) -> Place {
        self.place
    }
}

fn place(state: &State) -> Place {
    Place {
        epoch: state.head().epoch,
        seq: state.seq(),
    }
}

fn synced(state: &State) -> Place {
    Place {
        epoch: state.head().synced,
        seq: state.head().synced_until,
    }
}

/// What is to be kept of an object.
fn record(state: &State, key: &ObjectKey) -> Option<RecoveryRecord> {
    let held = state.object(key)?;
    let good = held.good.as_ref()?;
    // What was not seen since it was recovered may be refused.
    (held.refused.is_some() || held.unseen).then(|| RecoveryRecord {
        key: key.clone(),
        meta: good.meta.clone(),
        spec: good.spec.clone(),
        class: held.other_class().cloned(),
    })
}
