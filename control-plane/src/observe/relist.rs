//! A complete list, compared with what `State` holds.
//!
//! Apart from single changes, because a list says two things: what there is, and that there
//! is nothing else. What was deleted while nobody watched is only ever seen here.

use std::collections::BTreeSet;

use crate::event::Event;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::Meta;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::{Observed, Seen, Unreadable};
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
    for key in gone {
        match unread(state, &key, &list.unreadable) {
            Some(event) => observed.events.extend(event),
            None => super::deleted(state, key, observed),
        }
    }
}

/// Whether an object that is not listed may stand in a file that cannot be read; then it is
/// not gone, and is refused if it was not already.
fn unread(state: &State, key: &ObjectKey, unreadable: &[Unreadable]) -> Option<Option<Event>> {
    if unreadable.is_empty() {
        return None;
    }
    let Some(held) = state.object(key) else {
        // Of a slice nobody knows the file: it stays until all can be read.
        return Some(None);
    };
    let good = held.good.as_ref().map(|good| &good.meta);
    let meta = held
        .refused
        .as_ref()
        .map(|refused| &refused.meta)
        .or(good)?;
    let found = unreadable
        .iter()
        .find(|found| *found.file == *file_of(meta));
    let Unreadable { file, message } = found?;
    let message = format!("its file {file} cannot be read: {message}");
    let refusal = Refusal::new(Reason::Malformed, "", message);
    let known = held
        .refused
        .as_ref()
        .is_some_and(|refused| refused.refusal == refusal);
    Some((!known).then(|| Event::ObjectRefused {
        key: key.clone(),
        meta: meta.clone(),
        refusal,
    }))
}

/// The file that a folder's object was read from.
fn file_of(meta: &Meta) -> &str {
    let rank = meta.age.rank.rsplit_once(':');
    rank.map_or("", |(file, _)| file)
}
