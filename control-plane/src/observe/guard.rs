//! The guard against mass deletion: so many objects that nobody saw deleted are held back.
//!
//! A deletion that was seen is followed, however many there are. What is merely not there any
//! more, in a list or in a folder, may be a backup that was put back, a server that answers for
//! another, a folder that was not mounted: if more than a share of the routes depends on it, it
//! stays and serves until an operator confirms that it shall go, or it comes back. A hold never
//! ends by itself, and while it stands no list deletes anything of its kind.
//!
//! Routes are the measure for every kind: a list of EndpointSlices without a single one takes
//! the same traffic down as one without Ingresses does.

use std::collections::BTreeSet;

use crate::event::Event;
use crate::event::hold::{Extent, HoldId};
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::observe::Observed;
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
    let Some(hold) = state.hold(origin, kind) else {
        match held_back(state, origin, kind, &gone) {
            Some(extent) => hold_back(extent, gone, observed),
            None => delete(state, gone, observed),
        }
        return;
    };
    let extent = Extent::of(state, origin, kind, &gone);
    let guard = state.settings().map(|settings| settings.deletion_guard);
    let off = guard.is_some_and(|guard| guard.is_off());
    if gone.is_empty() || off || hold.confirmed && extent.objects <= hold.extent.objects {
        end(state, hold, gone, observed);
    } else if extent.is_told_by(&hold.extent) {
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
    if held_back(state, origin, kind, &gone).is_none() {
        delete(state, gone, observed);
        return;
    }
    let all: BTreeSet<ObjectKey> = gone
        .into_iter()
        .chain(missing.into_iter().flatten().cloned())
        .collect();
    let extent = Extent::of(state, origin, kind, &all);
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

/// How much it is that is gone, if that is too much to follow.
fn held_back(
    state: &State,
    origin: Origin,
    kind: Kind,
    gone: &BTreeSet<ObjectKey>,
) -> Option<Extent> {
    let guard = state.settings().map(|settings| settings.deletion_guard);
    let guard = guard.unwrap_or_default();
    let routes = routes_of(state, origin, kind, gone);
    // All there are can only be fewer than a share if there are enough of these.
    if guard.follows(routes, routes) || guard.follows(routes, all_routes(state, origin)) {
        return None;
    }
    Some(Extent::of(state, origin, kind, gone))
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

impl Extent {
    fn of(state: &State, origin: Origin, kind: Kind, gone: &BTreeSet<ObjectKey>) -> Self {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sample = gone.iter().take(SAMPLE).map(|key| {
            if key.namespace.is_empty() {
                (*key.name).into()
            } else {
                format!("{}/{}", key.namespace, key.name).into()
            }
        });
        Self {
            origin,
            kind,
            objects: count(gone.len()),
            routes: count(routes_of(state, origin, kind, gone)),
            of_routes: count(all_routes(state, origin)),
            sample: sample.collect(),
        }
    }
}

/// How many routes would be lost without these objects, or would lose what they need.
fn routes_of(state: &State, origin: Origin, kind: Kind, gone: &BTreeSet<ObjectKey>) -> usize {
    if gone.is_empty() {
        return 0;
    }
    let users = |services: BTreeSet<&ObjectKey>| -> usize {
        let users = services.into_iter().flat_map(|key| state.users_of(key));
        users.collect::<BTreeSet<_>>().len()
    };
    match kind {
        Kind::Ingress => gone.iter().filter(|key| is_route(state, key)).count(),
        Kind::IngressClass => routes(state, origin)
            .filter(|key| {
                let class = state.class_of(key);
                !class.is_some_and(|class| state.serves_without(origin, class, gone))
            })
            .count(),
        Kind::Service => users(gone.iter().collect()),
        Kind::EndpointSlice => users(state.services_emptied_by(gone)),
    }
}

fn all_routes(state: &State, origin: Origin) -> usize {
    routes(state, origin).count()
}

fn routes(state: &State, origin: Origin) -> impl Iterator<Item = &ObjectKey> {
    let ingresses = state.keys(origin, Kind::Ingress);
    ingresses.filter(|key| is_route(state, key))
}

fn is_route(state: &State, key: &ObjectKey) -> bool {
    let class = state.class_of(key);
    let ours = class.is_some_and(|class| state.serves(key.origin, class));
    ours && state.ingress(key).is_some()
}

/// Enough to see what it is about.
const SAMPLE: usize = 10;
