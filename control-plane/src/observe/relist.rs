//! A complete list, compared with what `State` holds.
//!
//! Apart from single changes, because a list says two things: what there is, and that there
//! is nothing else. What was deleted while nobody watched is only ever seen here.

use std::collections::BTreeSet;

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::observe::{Observed, Seen};
use crate::state::State;

/// Adds what a complete list of this kind changes: objects that are new or different, then
/// deletions of what `State` holds and the list does not.
pub(super) fn compare(
    state: &State,
    origin: Origin,
    kind: Kind,
    objects: Vec<Seen>,
    observed: &mut Observed,
) {
    let mut listed = BTreeSet::new();
    for seen in objects {
        listed.insert(seen.key.clone());
        super::changed(state, seen, observed);
    }
    let gone: BTreeSet<ObjectKey> = state
        .keys(origin, kind)
        .filter(|key| !listed.contains(*key))
        .cloned()
        .collect();
    for key in gone {
        super::deleted(state, key, observed);
    }
}
