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
use crate::state::{Held, State};

/// A complete list of one kind.
pub(super) struct List {
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    pub(super) objects: Vec<Seen>,
    pub(super) unreadable: Vec<Unreadable>,
}

/// Adds what a complete list changes: objects that are new or different, then deletions of
/// what `State` holds and the list does not.
pub(super) fn compare(state: &State, list: List, now: Timestamp, observed: &mut Observed) {
    observed.events.extend(restored(state, &list));
    let mut listed = BTreeSet::new();
    for seen in list.objects {
        listed.insert(seen.key.clone());
        super::changed(state, seen, now, observed);
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

/// The list is of a cluster that was restored from a backup. Files go back as their owner likes.
fn restored(state: &State, list: &List) -> Option<Event> {
    if list.origin != Origin::Kubernetes {
        return None;
    }
    let went_back = |seen: &&Seen| {
        let held = state.object(&seen.key);
        held.and_then(Held::meta)
            .is_some_and(|known| super::went_back(known, &seen.meta))
    };
    let mut went_back = list.objects.iter().filter(went_back);
    let example = went_back.next()?.key.clone();
    let more = u32::try_from(went_back.count()).unwrap_or(u32::MAX);
    Some(Event::ClusterRestored {
        kind: list.kind,
        objects: more.saturating_add(1),
        example,
    })
}

/// Whether an object that is not listed may stand in a file that cannot be read; then it is
/// not gone, and is refused if it was not already.
fn unread(state: &State, key: &ObjectKey, unreadable: &[Unreadable]) -> Option<Option<Event>> {
    let first = unreadable.first()?;
    let held = state.object(key);
    let refused = held.and_then(|held| held.refused.as_ref());
    let meta = held.and_then(Held::meta);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Epoch, Record};
    use crate::model::ingress::IngressClass;
    use crate::model::object::Spec;
    use crate::observe::{Observation, observe};

    fn seen(origin: Origin, uid: &str, version: &str) -> Seen {
        let key = ObjectKey {
            origin,
            kind: Kind::IngressClass,
            namespace: "".into(),
            name: "a".into(),
        };
        let age = Age {
            created: Timestamp(0),
            rank: "a".into(),
        };
        let class = IngressClass {
            controller: "c".into(),
            is_default: false,
        };
        Seen {
            key,
            meta: Meta {
                uid: uid.into(),
                resource_version: version.into(),
                age,
            },
            spec: Ok(Spec::IngressClass(class)),
            bundle: None,
        }
    }

    /// What a list of this object alone comes to.
    fn listed(state: &mut State, seen: Seen) -> Vec<&'static str> {
        let observation = Observation::Listed {
            origin: seen.key.origin,
            kind: seen.key.kind,
            objects: vec![seen],
            unreadable: vec![],
        };
        let events = observe(state, observation, Timestamp(0)).events;
        let names = events.iter().map(Event::name).collect();
        for event in events {
            state.apply(&Record {
                seq: state.seq().next(),
                epoch: Epoch(1),
                time: Timestamp(0),
                event,
            });
        }
        names
    }

    #[test]
    fn what_is_older_than_it_was_shows_a_restored_cluster_and_is_told_once() {
        let kubernetes = |uid, version| seen(Origin::Kubernetes, uid, version);
        let mut state = State::default();
        assert_eq!(
            listed(&mut state, kubernetes("u", "20")),
            ["ObjectAccepted"]
        );
        // Newer and the same, or another object of that name.
        assert!(listed(&mut state, kubernetes("u", "30")).is_empty());
        assert_eq!(listed(&mut state, kubernetes("v", "9")), ["ObjectAccepted"]);
        let restored = ["ClusterRestored", "ObjectAccepted"];
        assert_eq!(listed(&mut state, kubernetes("v", "8")), restored);
        assert!(listed(&mut state, kubernetes("v", "8")).is_empty());
        // Versions of a folder are whatever stands in its files.
        let mut state = State::default();
        let folder = |version| seen(Origin::Folder, "u", version);
        listed(&mut state, folder("20"));
        assert_eq!(listed(&mut state, folder("8")), ["ObjectAccepted"]);
    }
}
