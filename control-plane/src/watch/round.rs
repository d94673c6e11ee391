//! A list of one kind, put together from one stream for each namespace, and what comes after.
//!
//! Pure, and apart from the streams, because this decides what counts as deleted: a list is
//! complete only when those of all namespaces are.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::observe::{Observation, Seen};

/// What a stream brings.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A list begins.
    Begin,
    Listed(Seen),
    /// The list is complete.
    End,
    Changed(Seen),
    Deleted(ObjectKey, Box<str>),
    /// Asked for by name, it is so: of versions of others this says nothing.
    Got(Seen),
    /// Asked for by name, it is gone.
    Lost(ObjectKey),
    /// The list is not to be had, and why.
    Refused(String),
}

/// What to do about it.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    Send(Vec<Observation>),
    /// Every stream has to begin with a list.
    StartOver,
}

/// The streams of one kind, from the beginning of their lists on.
#[derive(Debug)]
pub(super) struct Round {
    kind: Kind,
    /// Streams whose lists are not complete.
    listing: BTreeSet<usize>,
    /// Streams whose lists are not to be had.
    refused: BTreeMap<usize, String>,
    /// What was listed so far, by which stream; empty once it was sent.
    listed: BTreeMap<ObjectKey, (usize, Seen)>,
    /// The list was sent, and what comes is sent as it comes.
    live: bool,
    /// The newest resource version of each stream.
    newest: BTreeMap<usize, u64>,
}

impl Round {
    /// A round of this many streams that have brought nothing yet.
    pub(super) fn new(kind: Kind, streams: usize) -> Self {
        Self {
            kind,
            listing: (0..streams).collect(),
            refused: BTreeMap::new(),
            listed: BTreeMap::new(),
            live: false,
            newest: BTreeMap::new(),
        }
    }

    /// Takes in what a stream brought.
    pub(super) fn take(&mut self, stream: usize, item: Item) -> Step {
        match item {
            // The stream of a list that is not to be had begins one with each attempt.
            Item::Begin if self.live && self.refused.contains_key(&stream) => {}
            Item::Begin if self.live => return Step::StartOver,
            Item::Begin => {
                self.listed.retain(|_, (of, _)| *of != stream);
                self.newest.remove(&stream);
            }
            Item::Listed(_) | Item::End if self.live => return Step::StartOver,
            Item::Listed(seen) => {
                self.refused.remove(&stream);
                self.is_news(stream, &seen.meta.resource_version);
                self.listed.insert(seen.key.clone(), (stream, seen));
            }
            Item::End => {
                self.refused.remove(&stream);
                self.listing.remove(&stream);
                return self.complete();
            }
            Item::Changed(seen) => {
                if !self.is_news(stream, &seen.meta.resource_version) {
                    tracing::debug!(object = %seen.key, "older than what is known: left out");
                } else if self.live {
                    return Step::Send(vec![Observation::Changed(seen)]);
                } else {
                    self.listed.insert(seen.key.clone(), (stream, seen));
                }
            }
            Item::Deleted(key, version) => {
                self.is_news(stream, &version);
                if self.live {
                    return Step::Send(vec![Observation::Deleted(key)]);
                }
                self.listed.remove(&key);
            }
            Item::Got(seen) if self.live => {
                return Step::Send(vec![Observation::Changed(seen)]);
            }
            Item::Got(seen) => {
                self.listed.insert(seen.key.clone(), (stream, seen));
            }
            Item::Lost(key) if self.live => {
                return Step::Send(vec![Observation::Deleted(key)]);
            }
            Item::Lost(key) => {
                self.listed.remove(&key);
            }
            Item::Refused(why) => {
                self.refused.insert(stream, why);
                if !self.live {
                    self.listing.remove(&stream);
                    return self.complete();
                }
            }
        }
        Step::Send(Vec::new())
    }

    /// Whether the lists of all streams but this one are complete, or not to be had.
    pub(super) fn waits_for_only(&self, stream: usize) -> bool {
        self.listing.iter().eq([&stream])
    }

    /// Whether an object was listed, and that was not sent yet.
    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        self.listed.contains_key(key)
    }

    /// Whether a list of other streams than this one is not to be had.
    pub(super) fn is_refused_but(&self, stream: usize) -> bool {
        self.refused.keys().any(|of| *of != stream)
    }

    /// Whether the list was sent.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// The list, once there is nothing more to wait for. If a part of it is not to be had, what
    /// there is may be used, but nothing may be taken for deleted.
    fn complete(&mut self) -> Step {
        if !self.listing.is_empty() {
            return Step::Send(Vec::new());
        }
        self.live = true;
        let listed = std::mem::take(&mut self.listed);
        let objects = listed.into_values().map(|(_, seen)| seen);
        let (origin, kind) = (Origin::Kubernetes, self.kind);
        if self.refused.is_empty() {
            return Step::Send(vec![Observation::Listed {
                origin,
                kind,
                objects: objects.collect(),
                unreadable: Vec::new(),
            }]);
        }
        let reasons: BTreeSet<&str> = self.refused.values().map(String::as_str).collect();
        let message = reasons.into_iter().collect::<Vec<_>>().join("; ");
        let mut observations: Vec<Observation> = objects.map(Observation::Changed).collect();
        observations.push(Observation::Unlistable {
            origin,
            kind,
            message,
        });
        Step::Send(observations)
    }

    /// Whether a stream has not brought anything newer than this version. What is no number
    /// cannot be compared, and is believed.
    fn is_news(&mut self, stream: usize, version: &str) -> bool {
        let Ok(version) = version.parse::<u64>() else {
            return true;
        };
        let newest = self.newest.entry(stream).or_default();
        let news = version >= *newest;
        *newest = version.max(*newest);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::{Age, Meta, Spec};
    use crate::model::service::{Service, Target};
    use crate::model::time::Timestamp;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            origin: Origin::Kubernetes,
            kind: Kind::Service,
            namespace: "default".into(),
            name: name.into(),
        }
    }

    fn seen(name: &str, version: &str) -> Seen {
        let age = Age {
            created: Timestamp(0),
            rank: name.into(),
        };
        Seen {
            key: key(name),
            meta: Meta {
                uid: name.into(),
                resource_version: version.into(),
                age,
            },
            spec: Ok(Spec::Service(Service {
                target: Target::Endpoints,
                ports: vec![],
            })),
            bundle: None,
        }
    }

    /// What a round of two streams sends, as names and versions.
    fn sent(items: Vec<(usize, Item)>) -> Vec<String> {
        let mut round = Round::new(Kind::Service, 2);
        let mut sent = vec![];
        let show = |seen: &Seen| format!("{}{}", seen.key.name, seen.meta.resource_version);
        for (stream, item) in items {
            match round.take(stream, item) {
                Step::StartOver => sent.push("start over".into()),
                Step::Send(observations) => sent.extend(observations.iter().map(|o| match o {
                    Observation::Listed { objects, .. } => {
                        let objects: Vec<String> = objects.iter().map(show).collect();
                        format!("all of {}", objects.join(" "))
                    }
                    Observation::Unlistable { message, .. } => format!("unlistable {message}"),
                    Observation::Changed(seen) => format!("changed {}", show(seen)),
                    Observation::Deleted(key) => format!("deleted {}", key.name),
                    Observation::Configured(_)
                    | Observation::Recovered { .. }
                    | Observation::Vanished { .. }
                    | Observation::Unconfigured { .. }
                    | Observation::Confirmed(_)
                    | Observation::Proxy(_) => panic!("{o:?}"),
                })),
            }
        }
        sent
    }

    #[test]
    fn what_happens_while_others_are_listed_is_in_the_list() {
        let items = vec![
            (0, Item::Begin),
            (0, Item::Listed(seen("a", "1"))),
            (0, Item::Listed(seen("b", "2"))),
            (0, Item::Listed(seen("b", "3"))),
            (0, Item::End),
            (1, Item::Begin),
            (1, Item::Listed(seen("lost", "3"))),
            (0, Item::Deleted(key("a"), "4".into())),
            (0, Item::Changed(seen("c", "5"))),
            // The list of the second broke off.
            (1, Item::Begin),
            (1, Item::Listed(seen("d", "6"))),
            (1, Item::End),
            (1, Item::Changed(seen("d", "7"))),
            (1, Item::Begin),
        ];
        assert_eq!(sent(items), ["all of b3 c5 d6", "changed d7", "start over"]);
    }

    #[test]
    fn where_a_part_is_refused_nothing_is_taken_for_deleted() {
        let refused = || Item::Refused("forbidden".into());
        let items = vec![
            (0, Item::Begin),
            (1, Item::Begin),
            (0, refused()),
            (1, Item::Listed(seen("a", "1"))),
            (0, refused()),
            (1, Item::End),
            (0, Item::Begin),
            (0, refused()),
            (1, Item::Changed(seen("a", "2"))),
            (0, Item::Begin),
            (0, Item::End),
        ];
        assert_eq!(
            sent(items),
            [
                "changed a1",
                "unlistable forbidden",
                "changed a2",
                "start over"
            ]
        );
    }
}
