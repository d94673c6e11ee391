//! Which file holds which object, and which of several counts.
//!
//! Pure. An object that stands in two places is that of the first, by path and position; the
//! other takes over when the first goes. A file that cannot be read holds what it held.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::Meta;
use crate::model::refusal::{Reason, Refusal};
use crate::observe::{Observation, Seen, Unreadable};

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Contents {
    Objects(Vec<Seen>),
    /// Nobody knows: why it cannot be read.
    Unreadable(String),
}

/// What is known of all files.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    files: BTreeMap<Box<str>, Vec<ObjectKey>>,
    /// Who claims a key, by rank: the first counts. Of the others what they say is kept.
    claims: BTreeMap<ObjectKey, BTreeMap<Box<str>, Claim>>,
}

#[derive(Debug)]
struct Claim {
    meta: Meta,
    /// What it says, until that was told.
    seen: Option<Seen>,
}

/// What is different now that a file is.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    pub(super) observations: Vec<Observation>,
    /// Files of which something counts again that did not count, and what it says was told
    /// and forgotten before.
    pub(super) read_again: BTreeSet<Box<str>>,
}

impl Catalogue {
    /// The catalogue of these files, and a list of each kind. Endpoints come first and routes
    /// last, so that a route finds what it needs.
    pub(super) fn build(
        files: impl Iterator<Item = (Box<str>, Contents)>,
    ) -> (Self, Vec<Observation>) {
        let mut catalogue = Self::default();
        let mut unreadable = Vec::new();
        for (file, contents) in files {
            match contents {
                Contents::Objects(objects) => {
                    for seen in objects {
                        catalogue.enter(&file, seen);
                    }
                }
                Contents::Unreadable(message) => {
                    tracing::error!(file = &*file, message, "the file cannot be read");
                    unreadable.push(Unreadable {
                        file,
                        message: message.into(),
                    });
                }
            }
        }
        let mut lists: BTreeMap<Kind, Vec<Seen>> = BTreeMap::new();
        for (key, claims) in &mut catalogue.claims {
            let first = claims.values_mut().next();
            lists
                .entry(key.kind)
                .or_default()
                .extend(first.and_then(|claim| claim.seen.take()));
        }
        let observations = LIST_ORDER.map(|kind| Observation::Listed {
            origin: Origin::Folder,
            kind,
            objects: lists.remove(&kind).unwrap_or_default(),
            unreadable: unreadable.clone(),
        });
        (catalogue, observations.into())
    }

    /// What is different now that a file holds this, or is gone.
    pub(super) fn replace(&mut self, file: &str, contents: Option<Contents>) -> Replaced {
        let mut replaced = Replaced::default();
        let objects = match contents {
            Some(Contents::Objects(objects)) => objects,
            Some(Contents::Unreadable(message)) => {
                replaced.observations = self.refuse(file, &message);
                return replaced;
            }
            None => Vec::new(),
        };
        // Which claim counted on each key that this file holds or held.
        let mut counted: BTreeMap<ObjectKey, Option<Box<str>>> = BTreeMap::new();
        let before = self.files.remove(file).unwrap_or_default();
        let now = objects.iter().map(|seen| &seen.key);
        for key in before.iter().chain(now) {
            let claims = self.claims.get(key);
            let first = claims.and_then(|claims| claims.keys().next().cloned());
            counted.insert(key.clone(), first);
        }
        for key in &before {
            if let Some(claims) = self.claims.get_mut(key) {
                claims.retain(|_, claim| file_of(&claim.meta) != file);
            }
        }
        for seen in objects {
            self.enter(file, seen);
        }
        for (key, counted) in counted {
            self.settle(key, counted.as_deref(), &mut replaced);
        }
        replaced
    }

    fn enter(&mut self, file: &str, seen: Seen) {
        let claims = self.claims.entry(seen.key.clone()).or_default();
        let held = self.files.entry(file.into()).or_default();
        held.push(seen.key.clone());
        let claim = Claim {
            meta: seen.meta.clone(),
            seen: Some(seen),
        };
        claims.insert(claim.meta.age.rank.clone(), claim);
    }

    /// The first claim on a key counts; without one the object is gone.
    fn settle(&mut self, key: ObjectKey, counted: Option<&str>, replaced: &mut Replaced) {
        let Some(claims) = self.claims.get_mut(&key) else {
            return;
        };
        let others = claims.len().saturating_sub(1);
        let Some((rank, first)) = claims.iter_mut().next() else {
            self.claims.remove(&key);
            replaced.observations.push(Observation::Deleted(key));
            return;
        };
        if others > 0 {
            let counts = &**rank;
            tracing::warn!(object = %key, counts, others, "stands in several places: the first counts");
        }
        match first.seen.take() {
            Some(seen) => replaced.observations.push(Observation::Changed(seen)),
            None if counted != Some(&**rank) => {
                replaced.read_again.insert(file_of(&first.meta).into());
            }
            None => {}
        }
    }

    fn refuse(&self, file: &str, message: &str) -> Vec<Observation> {
        let keys = self.files.get(file).into_iter().flatten();
        let counted = keys.filter_map(|key| {
            let first = self.claims.get(key)?.values().next()?;
            // Endpoints cannot be told that they are refused: they stay.
            let told = key.kind != Kind::EndpointSlice && file_of(&first.meta) == file;
            told.then(|| (key.clone(), first.meta.clone()))
        });
        counted
            .map(|(key, meta)| {
                let message = format!("its file {file} cannot be read: {message}");
                let spec = Err(Refusal::new(Reason::Malformed, "", message));
                Observation::Changed(Seen { key, meta, spec })
            })
            .collect()
    }
}

fn file_of(meta: &Meta) -> &str {
    let rank = meta.age.rank.rsplit_once(':');
    rank.map_or("", |(file, _)| file)
}

const LIST_ORDER: [Kind; 4] = [
    Kind::EndpointSlice,
    Kind::IngressClass,
    Kind::Service,
    Kind::Ingress,
];
