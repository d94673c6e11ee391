//! The guard against mass deletion: so many objects that nobody saw deleted are held back.
//!
//! A deletion that was seen is followed, however many there are. What is merely not there any
//! more, in a list or in a folder, may be a backup that was put back, a server that answers for
//! another, a folder that was not mounted: if more than a share of the routes depends on it, it
//! stays and serves until an operator confirms that it shall go, or it comes back. A hold never
//! ends by itself, and while it stands no list deletes anything of its kind.

mod loss;

use std::collections::BTreeSet;

use crate::event::Event;
use crate::event::hold::{Extent, HoldId};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::observe::Observed;
use crate::observe::guard::loss::Loss;
use crate::state::State;
use crate::state::hold::{Hold, MissingChange};

/// An operator wants what is held to be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    pub of: Holds,
    /// Who says so, and why.
    pub by: Box<str>,
    pub reason: Box<str>,
}

/// Which holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    All,
    These(BTreeSet<HoldId>),
}

/// These objects are not in a complete list.
pub(super) fn unlisted(
    state: &State,
    origin: Origin,
    kind: Kind,
    gone: BTreeSet<ObjectKey>,
    observed: &mut Observed,
) {
    // What came from a recovery record was never known to exist.
    let (unseen, gone): (BTreeSet<_>, BTreeSet<_>) = gone
        .into_iter()
        .partition(|key| state.object(key).is_some_and(|held| held.unseen));
    for key in unseen {
        super::deleted(state, key, observed);
    }
    let loss = Loss {
        arrived: &observed.slices,
        ..Loss::of(state, origin, kind, &gone)
    };
    let Some(hold) = state.hold(origin, kind) else {
        if loss.is_held_back() {
            hold_back(loss.extent(), gone, observed);
        } else {
            delete(state, gone, observed);
        }
        return;
    };
    let extent = loss.extent();
    let guard = state.settings().map(|settings| settings.deletion_guard);
    let off = guard.is_some_and(|guard| guard.is_off());
    let told = extent.is_told_by(&hold.extent);
    if gone.is_empty() || off || hold.confirmed && told {
        end(state, hold, gone, observed);
    } else if told {
        let missing = MissingChange::Only(origin, kind, gone);
        observed.missing.push(missing);
    } else {
        hold_back(extent, gone, observed);
    }
}

/// These objects were not found in a look at what changed, and no list tells of the others.
pub(super) fn vanished(
    state: &State,
    origin: Origin,
    kind: Kind,
    keys: Vec<ObjectKey>,
    observed: &mut Observed,
) {
    let missing = state.missing(origin, kind);
    let gone: BTreeSet<ObjectKey> = keys
        .into_iter()
        .filter(|key| missing.is_none_or(|missing| !missing.contains(key)))
        .collect();
    if !Loss::of(state, origin, kind, &gone).is_held_back() {
        delete(state, gone, observed);
        return;
    }
    let all: BTreeSet<ObjectKey> = gone
        .into_iter()
        .chain(missing.into_iter().flatten().cloned())
        .collect();
    let extent = Loss::of(state, origin, kind, &all).extent();
    hold_back(extent, all, observed);
}

/// An object was seen, or was seen to be deleted: it is not missing any more.
pub(super) fn seen(state: &State, key: &ObjectKey, observed: &mut Observed) {
    let missing = state.missing(key.origin, key.kind);
    let Some(missing) = missing.filter(|missing| missing.contains(key)) else {
        return;
    };
    observed.missing.push(MissingChange::Not(key.clone()));
    if missing.len() == 1
        && let Some(hold) = state.hold(key.origin, key.kind)
    {
        let hold = hold.id;
        observed.events.push(Event::DeletionHoldEnded { hold });
    }
}

/// An operator confirmed. Where nothing was listed yet since the start, the next list does it.
pub(super) fn confirmed(state: &State, confirmation: Confirmation, observed: &mut Observed) {
    let Confirmation { of, by, reason } = confirmation;
    for hold in &state.head().holds {
        let meant = match &of {
            Holds::All => true,
            Holds::These(ids) => ids.contains(&hold.id),
        };
        if !meant || hold.confirmed {
            continue;
        }
        observed.events.push(Event::DeletionConfirmed {
            hold: hold.id,
            by: by.clone(),
            reason: reason.clone(),
        });
        if let Some(missing) = state.missing(hold.extent.origin, hold.extent.kind) {
            end(state, hold, missing.clone(), observed);
        }
    }
}

/// The configuration does not name this origin: there is nothing to guard.
pub(super) fn unconfigured(state: &State, origin: Origin, kind: Kind, observed: &mut Observed) {
    let all = state.keys(origin, kind).cloned().collect();
    match state.hold(origin, kind) {
        Some(hold) => end(state, hold, all, observed),
        None => delete(state, all, observed),
    }
}

fn hold_back(extent: Extent, gone: BTreeSet<ObjectKey>, observed: &mut Observed) {
    let missing = MissingChange::Only(extent.origin, extent.kind, gone);
    observed.missing.push(missing);
    observed.events.push(Event::DeletionHeld { extent });
}

fn end(state: &State, hold: &Hold, gone: BTreeSet<ObjectKey>, observed: &mut Observed) {
    let (origin, kind) = (hold.extent.origin, hold.extent.kind);
    delete(state, gone, observed);
    let missing = MissingChange::Only(origin, kind, BTreeSet::new());
    observed.missing.push(missing);
    let hold = hold.id;
    observed.events.push(Event::DeletionHoldEnded { hold });
}

fn delete(state: &State, gone: BTreeSet<ObjectKey>, observed: &mut Observed) {
    for key in gone {
        super::deleted(state, key, observed);
    }
}
