//! A complete list, compared with what `State` holds.
//!
//! Apart from single changes, because a list says two things: what there is, and that there
//! is nothing else. What was deleted while nobody watched is only ever seen here.

use std::collections::BTreeSet;

use crate::event::Event;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta};
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;
use crate::observe::{Observed, Seen, Unreadable, guard};
use crate::state::State;

/// A complete list of one kind.
pub(super) struct List {
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    pub(super) objects: Vec<Seen>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// Adds what a complete list changes: objects that are new or different, then deletions of
/// what `State` holds and the list does not.
pub(super) fn compare(state: &State, list: List, observed: &mut Observed) {
    let mut listed = BTreeSet::new();
    for seen in list.objects {
        listed.insert(seen.key.clone());
        super::changed(state, seen, observed);
    }
    let gone: BTreeSet<ObjectKey> = state
        .keys(list.origin, list.kind)
        .filter(|key| !listed.contains(*key))
        .cloned()
        .collect();
    let mut not_found = BTreeSet::new();
    for key in gone {
        match unread(state, &key, &list.unreadable) {
            Some(event) => observed.events.extend(event),
            None => {
                not_found.insert(key);
            }
        }
    }
    guard::unlisted(state, list.origin, list.kind, not_found, observed);
}

/// Whether an object that is not listed may stand in a file that cannot be read; then it is
/// not gone, and is refused if it was not already.
fn unread(state: &State, key: &ObjectKey, unreadable: &[Unreadable]) -> Option<Option<Event>> {
    let first = unreadable.first()?;
    let held = state.object(key);
    let refused = held.and_then(|held| held.refused.as_ref());
    let good = held.and_then(|held| held.good.as_ref());
    let meta = refused
        .map(|refused| &refused.meta)
        .or_else(|| good.map(|good| &good.meta));
    let meta = meta.cloned().unwrap_or_else(|| of_slice(state, key));
    // Of a slice that was stored before uids were nobody knows the file: it may be any.
    let found = match file_of(&meta) {
        "" => first,
        file => unreadable.iter().find(|found| *found.file == *file)?,
    };
    let Unreadable { file, message } = found;
    let message = format!("its file {file} cannot be read: {message}");
    let refusal = Refusal::new(Reason::Malformed, "", message);
    let known = refused.is_some_and(|refused| refused.refusal == refusal);
    Some((!known).then(|| Event::ObjectRefused {
        key: key.clone(),
        meta,
        refusal,
        last_good: super::last_good(state, key),
    }))
}

/// Identity of a folder's slice that was never refused: its uid is the place where it stands.
fn of_slice(state: &State, key: &ObjectKey) -> Meta {
    let slice = state.slices().get(key);
    let uid = slice.map(|slice| slice.uid.clone()).unwrap_or_default();
    Meta {
        resource_version: "".into(),
        age: Age {
            created: Timestamp(0),
            rank: uid.clone(),
        },
        uid,
    }
}

/// The file that a folder's object was read from.
fn file_of(meta: &Meta) -> &str {
    let rank = meta.age.rank.rsplit_once(':');
    rank.map_or("", |(file, _)| file)
}
