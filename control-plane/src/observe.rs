//! What is seen becomes facts: `(&State, Observation) → events`.
//!
//! Separate from the sources, because only a comparison with `State` tells whether anything
//! changed, and what was deleted while nobody watched.

pub mod certificate;
pub mod convert;
pub mod guard;
mod relist;

use crate::event::Event;
use crate::event::recovery::RecoveryRecord;
use crate::model::bundle::Bundle;
use crate::model::endpoints::EndpointSlice;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Meta, Spec};
use crate::model::refusal::Refusal;
use crate::model::settings::Settings;
use crate::model::time::Timestamp;
use crate::observe::guard::Confirmation;
use crate::presence::Report;
use crate::state::State;
use crate::state::endpoints::{HeldSlice, SliceChange};
use crate::state::hold::MissingChange;

/// Something seen outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// The configuration file was read.
    Configured(Settings),
    /// The recovery records of an origin that the log lacks, read before anything of it is listed.
    Recovered {
        origin: Origin,
        records: Vec<RecoveryRecord>,
    },
    /// A complete list of one kind: what is not in it does not exist. A kind that the
    /// cluster does not know is a complete, empty list.
    Listed {
        origin: Origin,
        kind: Kind,
        objects: Vec<Seen>,
        /// Files of the folder that cannot be read: what was read of them before is refused,
        /// and not gone.
        unreadable: Vec<Unreadable>,
    },
    /// These objects of one kind were not found any more. Nobody saw them being deleted, and of
    /// others nothing is said.
    Vanished {
        origin: Origin,
        kind: Kind,
        keys: Vec<ObjectKey>,
    },
    /// The configuration does not name this origin: of no kind has it any object.
    Unconfigured { origin: Origin, kind: Kind },
    /// An operator confirmed that what is held shall be gone.
    Confirmed(Confirmation),
    /// A kind cannot be listed: what `State` has of it stays.
    Unlistable {
        origin: Origin,
        kind: Kind,
        message: String,
    },
    /// One object appeared or changed.
    Changed(Seen),
    /// One object is gone.
    Deleted(ObjectKey),
    /// A stream of a proxy tells something: a matter of `Presence`, which finds the facts in it.
    Proxy(Report),
}

/// An object as a source saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub key: ObjectKey,
    pub meta: Meta,
    /// What it asks for, or why it cannot be used.
    pub spec: Result<Spec, Refusal>,
    /// The chain and key of a certificate. They go no further than to who keeps keys.
    pub bundle: Option<Bundle>,
}

/// A file of the folder that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path below the folder.
    pub file: Box<str>,
    pub message: Box<str>,
}

/// What an observation comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Facts to be logged, in order.
    pub events: Vec<Event>,
    /// Chains and keys that are referred to, whether that is new or not.
    pub bundles: Vec<Bundle>,
    /// Changes of endpoints, which are applied at once and not logged.
    pub slices: Vec<SliceChange>,
    /// Which objects are missing now, which is applied at once and not logged.
    pub missing: Vec<MissingChange>,
}

/// The facts in an observation that is made now: none if `State` holds them already.
pub fn observe(state: &State, observation: Observation, now: Timestamp) -> Observed {
    let mut observed = Observed::default();
    match observation {
        Observation::Configured(settings) => {
            if state.settings() != Some(&settings) {
                observed.events.push(Event::Configured { settings });
            }
        }
        Observation::Recovered { records, .. } => {
            recovered(state, records, &mut observed);
        }
        Observation::Listed {
            origin,
            kind,
            objects,
            unreadable,
        } => {
            let list = relist::List {
                origin,
                kind,
                objects,
                unreadable,
            };
            relist::compare(state, list, now, &mut observed);
        }
        Observation::Unlistable { .. } | Observation::Proxy(_) => {}
        Observation::Vanished { origin, kind, keys } => {
            guard::vanished(state, origin, kind, keys, &mut observed);
        }
        Observation::Unconfigured { origin, kind } => {
            guard::unconfigured(state, origin, kind, &mut observed);
        }
        Observation::Confirmed(confirmation) => {
            guard::confirmed(state, confirmation, &mut observed);
        }
        Observation::Changed(seen) => {
            guard::seen(state, &seen.key, &mut observed);
            changed(state, seen, now, &mut observed);
        }
        Observation::Deleted(key) => {
            guard::seen(state, &key, &mut observed);
            deleted(state, key, &mut observed);
        }
    }
    observed
}

fn changed(state: &State, seen: Seen, now: Timestamp, observed: &mut Observed) {
    if is_unused_secret(state, &seen.key) {
        return;
    }
    let Seen {
        key,
        meta,
        spec,
        bundle,
    } = seen;
    observed.bundles.extend(bundle);
    match spec.and_then(|spec| certificate::unexpired(key.origin, spec, now)) {
        Ok(Spec::EndpointSlice(slice)) => {
            if state.object(&key).is_some() {
                // It was refused: that it no longer is, is a fact.
                observed.events.push(Event::ObjectAccepted {
                    key: key.clone(),
                    meta: meta.clone(),
                    spec: Spec::EndpointSlice(slice.clone()),
                });
            }
            let slice = HeldSlice {
                uid: meta.uid,
                spec: slice,
            };
            if state.slices().get(&key).is_none_or(|held| **held != slice) {
                observed.slices.push(SliceChange {
                    key,
                    slice: Some(slice),
                });
            }
        }
        Ok(spec) => {
            let known = state.object(&key).is_some_and(|held| {
                held.refused.is_none()
                    && !held.unseen
                    && held
                        .good
                        .as_ref()
                        .is_some_and(|good| same_object(&good.meta, &meta) && good.spec == spec)
            });
            if !known {
                observed
                    .events
                    .push(Event::ObjectAccepted { key, meta, spec });
            }
        }
        Err(refusal) => {
            let known = state.object(&key).is_some_and(|held| {
                held.refused.as_ref().is_some_and(|refused| {
                    same_object(&refused.meta, &meta) && refused.refusal == refusal
                })
            });
            if known {
                return;
            }
            let good = uid_of_good(state, &key);
            let last_good = if good.is_some_and(|uid| is_another(key.origin, uid, &meta.uid)) {
                // What the other was is not what this one was.
                deleted(state, key.clone(), observed);
                None
            } else {
                last_good(state, &key)
            };
            observed.events.push(Event::ObjectRefused {
                key,
                meta,
                refusal,
                last_good,
            });
        }
    }
}

/// Whether it is a Secret of the cluster that nobody refers to: of such nothing is
/// kept. In a folder is what its owner put there.
fn is_unused_secret(state: &State, key: &ObjectKey) -> bool {
    key.kind == Kind::Secret
        && key.origin == Origin::Kubernetes
        && state.object(key).is_none()
        && !state.certificates().is_used(key)
}

/// What recovery records tell a log that lacks them. Once all was listed in a term it knows better;
/// before, nothing that it was told meanwhile was ever served.
fn recovered(state: &State, records: Vec<RecoveryRecord>, observed: &mut Observed) {
    let head = state.head();
    if head.synced == head.epoch && !head.listed.is_empty() {
        return;
    }
    for record in records {
        if is_known(state, &record) {
            continue;
        }
        if let Spec::EndpointSlice(slice) = &record.spec {
            observed.slices.push(SliceChange {
                key: record.key.clone(),
                slice: Some(HeldSlice {
                    uid: record.meta.uid.clone(),
                    spec: slice.clone(),
                }),
            });
        }
        observed.events.push(record.into_event());
    }
}

/// Whether the log holds what a recovery record tells.
fn is_known(state: &State, record: &RecoveryRecord) -> bool {
    state.object(&record.key).is_some_and(|held| {
        let good = held.good.as_ref();
        good.is_some_and(|good| good.meta == record.meta && good.spec == record.spec)
            && held.other_class() == record.class.as_ref()
    })
}

/// What a slice says that is refused now, if no record holds it.
fn last_good(state: &State, key: &ObjectKey) -> Option<EndpointSlice> {
    let held = state.object(key);
    let recorded = held.is_some_and(|held| held.good.is_some());
    let slice = state.slices().get(key).filter(|_| !recorded);
    slice.map(|slice| slice.spec.clone())
}

/// Which object the last good version is of, if there is one and that is known.
fn uid_of_good<'a>(state: &'a State, key: &ObjectKey) -> Option<&'a str> {
    let held = state.object(key).and_then(|held| held.good.as_ref());
    let uid = match held {
        Some(good) => &good.meta.uid,
        None => &state.slices().get(key)?.uid,
    };
    Some(&**uid).filter(|uid| !uid.is_empty())
}

/// Whether an object is not the one that had its name before. In a folder the name is all
/// that an object has: its uid is the place where it stands.
fn is_another(origin: Origin, before: &str, now: &str) -> bool {
    origin == Origin::Kubernetes && before != now
}

fn deleted(state: &State, key: ObjectKey, observed: &mut Observed) {
    if state.slices().contains_key(&key) {
        observed.slices.push(SliceChange {
            key: key.clone(),
            slice: None,
        });
    }
    if state.object(&key).is_some() {
        observed.events.push(Event::ObjectDeleted { key });
    }
}

/// A newer resource version alone (of a status, or of fields that nothing is routed on) changes
/// nothing.
fn same_object(known: &Meta, seen: &Meta) -> bool {
    known.uid == seen.uid && known.age == seen.age && !went_back(known, seen)
}

/// Whether it is the same object as it was before it was known. Versions of one object only rise,
/// unless the cluster was restored from a backup.
fn went_back(known: &Meta, seen: &Meta) -> bool {
    let number = |meta: &Meta| meta.resource_version.parse::<u64>().ok();
    let numbers = number(known).zip(number(seen));
    known.uid == seen.uid && numbers.is_some_and(|(known, seen)| seen < known)
}
