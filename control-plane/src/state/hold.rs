//! What is held back: objects that were not found any more without having been seen deleted.
//!
//! That a hold stands is a fact and outlives the process. Which objects are missing is found
//! again by listing, as endpoints are, and so it is not logged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use crate::event::hold::{Extent, HoldId};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::state::{Head, State};

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

/// What is held, as those who ask are shown it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    pub holds: Vec<HoldNow>,
    /// The last holds that this process saw confirmed. Of one that is neither here nor held
    /// nothing was confirmed: it ended by itself, or another took its place.
    pub confirmed: VecDeque<HoldId>,
}

impl Holding {
    /// A hold was confirmed.
    pub fn confirm(&mut self, hold: HoldId) {
        self.confirmed.push_back(hold);
        if self.confirmed.len() > REMEMBERED {
            self.confirmed.pop_front();
        }
    }

    /// Whether a hold stands, confirmed or not.
    pub fn stands(&self, id: HoldId) -> bool {
        self.holds.iter().any(|now| now.hold.id == id)
    }

    /// Whether a hold was confirmed, be it that it waits for a list.
    pub fn is_confirmed(&self, id: HoldId) -> bool {
        let mut holds = self.holds.iter();
        self.confirmed.contains(&id) || holds.any(|now| now.hold.id == id && now.hold.confirmed)
    }
}

/// Far more than are confirmed while somebody waits for an answer.
const REMEMBERED: usize = 256;

impl Head {
    /// Holds what the record at the head says.
    pub(super) fn hold(&mut self, extent: &Extent) {
        let of = |extent: &Extent| (extent.origin, extent.kind);
        self.holds.retain(|hold| of(&hold.extent) != of(extent));
        let id = HoldId {
            epoch: self.epoch,
            seq: self.seq,
        };
        self.holds.push(Hold {
            id,
            since: self.time,
            extent: extent.clone(),
            confirmed: false,
        });
    }
}

impl State {
    /// Forgets which objects are missing.
    pub fn forget_missing(&mut self) {
        self.missing = Missing::default();
    }

    /// Takes in which objects are missing, which is not logged: it is found again by listing.
    pub fn apply_missing(&mut self, change: MissingChange) {
        self.missing.apply(change);
    }

    /// The hold of this origin and kind, if one stands.
    pub fn hold(&self, origin: Origin, kind: Kind) -> Option<&Hold> {
        let mut holds = self.head.holds.iter();
        holds.find(|hold| (hold.extent.origin, hold.extent.kind) == (origin, kind))
    }

    /// All holds that stand.
    pub fn holds_now(&self) -> Vec<HoldNow> {
        let holds = self.head.holds.iter().map(|hold| HoldNow {
            missing: self
                .missing(hold.extent.origin, hold.extent.kind)
                .map(BTreeSet::len),
            hold: hold.clone(),
        });
        holds.collect()
    }

    /// The objects that are held and were not found when they were last looked for. None until
    /// they were looked for.
    pub fn missing(&self, origin: Origin, kind: Kind) -> Option<&BTreeSet<ObjectKey>> {
        self.missing.of(origin, kind)
    }
}
