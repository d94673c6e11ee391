//! What is held back: objects that were not found any more without having been seen deleted.
//!
//! That a hold stands is a fact and outlives the process. Which objects are missing is found
//! again by listing, as endpoints are, and so it is not logged.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::event::hold::{Extent, HoldId};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;

/// Objects of one kind are held. There is at most one hold for each origin and kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub id: HoldId,
    pub since: Timestamp,
    pub extent: Extent,
    /// An operator wants them to be gone. They are, once they are listed.
    pub confirmed: bool,
}

/// Which objects are missing now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingChange {
    /// Of this origin and kind, these and no others.
    Only(Origin, Kind, BTreeSet<ObjectKey>),
    /// This one is no longer.
    Not(ObjectKey),
}

/// The objects that are missing, by origin and kind.
#[derive(Clone, Debug, Default)]
pub(super) struct Missing(BTreeMap<(Origin, Kind), BTreeSet<ObjectKey>>);

impl Missing {
    pub(super) fn apply(&mut self, change: MissingChange) {
        match change {
            MissingChange::Only(origin, kind, keys) if keys.is_empty() => {
                self.0.remove(&(origin, kind));
            }
            MissingChange::Only(origin, kind, keys) => {
                self.0.insert((origin, kind), keys);
            }
            MissingChange::Not(key) => {
                let of = (key.origin, key.kind);
                if let Some(keys) = self.0.get_mut(&of) {
                    keys.remove(&key);
                    if keys.is_empty() {
                        self.0.remove(&of);
                    }
                }
            }
        }
    }

    pub(super) fn of(&self, origin: Origin, kind: Kind) -> Option<&BTreeSet<ObjectKey>> {
        self.0.get(&(origin, kind))
    }
}

/// A hold, and how much of it is still to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldNow {
    pub hold: Hold,
    /// Objects that are missing now; none before they were looked for.
    pub missing: Option<usize>,
}
