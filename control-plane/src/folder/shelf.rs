//! Which object stands in which file, and what the engine was told of it.
//!
//! Pure, and apart from the files, because here it is decided what a change of a file comes
//! to: of an object that stands twice, the first counts, and what a broken file held before
//! keeps serving. Of an object is kept no more than where it stands and a hash.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::folder::document::Contents;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::object::{Age, Meta};
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;
use crate::observe::{Observation, Seen};

/// What is known of all files.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    files: BTreeMap<Arc<str>, Shelved>,
    /// Where each object stands, the first place first. One map: most objects stand once.
    places: BTreeMap<(ObjectKey, Arc<str>), Standing>,
    told: BTreeMap<ObjectKey, (Arc<str>, Standing)>,
    /// Files that cannot be read in full.
    broken: BTreeSet<Arc<str>>,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Shelved {
    /// Its objects, each once, and where each stands.
    objects: Vec<(ObjectKey, Arc<str>)>,
    /// Why not all of it can be read.
    broken: Option<String>,
}

/// An object at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Standing {
    file: Arc<str>,
    /// A hash of its content.
    version: Arc<str>,
    /// The file is broken and the object is not in what can be read of it: it is what it was.
    lost: bool,
}

/// What a change of files comes to.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) observations: Vec<Observation>,
    /// Files that hold an object that counts now and was not read with these.
    pub(super) to_read: BTreeSet<Arc<str>>,
    /// Objects that another place has, for people.
    pub(super) doubles: Vec<String>,
}

impl Shelf {
    /// Takes in what files hold now; `None`: a file is gone.
    pub(super) fn update(
        &mut self,
        files: impl IntoIterator<Item = (Arc<str>, Option<Contents>)>,
    ) -> Update {
        let mut touched = BTreeSet::new();
        let mut fresh = BTreeMap::new();
        let mut update = Update::default();
        for (file, contents) in files {
            self.replace(&file, contents, &mut touched, &mut fresh, &mut update);
        }
        let mut changed = Vec::new();
        let mut deleted = Vec::new();
        for key in touched {
            let Some((rank, standing)) = self.places(&key).next() else {
                if self.told.remove(&key).is_some() {
                    deleted.push(key);
                }
                continue;
            };
            let now = (rank.clone(), standing.clone());
            if self.told.get(&key) == Some(&now) {
                continue;
            }
            let seen = if standing.lost {
                let broken = self.files.get(&standing.file);
                Some(lost(&key, rank, standing, broken))
            } else {
                fresh.remove(&(key.clone(), rank.clone()))
            };
            match seen {
                Some(seen) => {
                    changed.push(seen);
                    self.told.insert(key, now);
                }
                None => {
                    update.to_read.insert(standing.file.clone());
                }
            }
        }
        // What routes need comes before them, and goes after them.
        changed.sort_by_key(|seen| order(seen.key.kind));
        let changed = changed.into_iter().map(Observation::Changed);
        update.observations.extend(changed);
        update.observations.extend(vanished(deleted));
        update
    }

    /// Forgets what the engine was told, so that the next update tells everything.
    pub(super) fn forget_told(&mut self) {
        self.told.clear();
    }

    /// All files.
    pub(super) fn files(&self) -> impl Iterator<Item = &Arc<str>> {
        self.files.keys()
    }

    /// Files that cannot be read in full, and why.
    pub(super) fn broken(&self) -> impl Iterator<Item = (&Arc<str>, &str)> {
        let files = self.broken.iter();
        files.filter_map(|file| Some((file, self.files.get(file)?.broken.as_deref()?)))
    }

    /// How many objects are known.
    pub(super) fn objects(&self) -> usize {
        self.told.len()
    }

    fn replace(
        &mut self,
        file: &Arc<str>,
        contents: Option<Contents>,
        touched: &mut BTreeSet<ObjectKey>,
        fresh: &mut BTreeMap<(ObjectKey, Arc<str>), Seen>,
        update: &mut Update,
    ) {
        let before = self.files.remove(file).unwrap_or_default();
        self.broken.remove(file);
        let mut lost = BTreeMap::new();
        for place in before.objects {
            touched.insert(place.0.clone());
            if let Some(standing) = self.places.remove(&place) {
                let (key, rank) = place;
                lost.insert(key, (rank, standing));
            }
        }
        let Some(contents) = contents else { return };
        let mut of_this_file = BTreeSet::new();
        let mut shelved = Shelved {
            objects: Vec::new(),
            broken: (!contents.broken.is_empty()).then(|| contents.broken.join("; ")),
        };
        for seen in contents.objects {
            let rank = seen.meta.age.rank.clone();
            if !of_this_file.insert(seen.key.clone()) {
                let key = &seen.key;
                update
                    .doubles
                    .push(format!("{key} of {rank} stands in the same file before"));
                continue;
            }
            lost.remove(&seen.key);
            let standing = Standing {
                file: file.clone(),
                version: seen.meta.resource_version.clone(),
                lost: false,
            };
            self.place(&seen.key, &rank, standing, update);
            shelved.objects.push((seen.key.clone(), rank.clone()));
            touched.insert(seen.key.clone());
            fresh.insert((seen.key.clone(), rank), seen);
        }
        if shelved.broken.is_some() {
            self.broken.insert(file.clone());
            for (key, (rank, standing)) in lost {
                let standing = Standing {
                    lost: true,
                    ..standing
                };
                self.place(&key, &rank, standing, update);
                shelved.objects.push((key, rank));
            }
        }
        self.files.insert(file.clone(), shelved);
    }

    fn place(&mut self, key: &ObjectKey, rank: &Arc<str>, standing: Standing, update: &mut Update) {
        self.places.insert((key.clone(), rank.clone()), standing);
        let mut places = self.places(key).map(|(rank, _)| &**rank);
        if let Some(first) = places.next() {
            let others: Vec<&str> = places.collect();
            if !others.is_empty() {
                let others = others.join(", ");
                update
                    .doubles
                    .push(format!("{key} of {others} stands in {first} before"));
            }
        }
    }

    /// Where an object stands, the first place first.
    fn places(&self, key: &ObjectKey) -> impl Iterator<Item = (&Arc<str>, &Standing)> {
        let places = self.places.range((key.clone(), Arc::default())..);
        places
            .take_while(move |((of, _), _)| of == key)
            .map(|((_, rank), standing)| (rank, standing))
    }
}

/// An object that cannot be read any more.
fn lost(key: &ObjectKey, rank: &Arc<str>, standing: &Standing, file: Option<&Shelved>) -> Seen {
    let broken = file.and_then(|file| file.broken.as_deref());
    // In the words in which a list says it.
    let message = format!(
        "its file {} cannot be read: {}",
        standing.file,
        broken.unwrap_or_default()
    );
    Seen {
        key: key.clone(),
        meta: Meta {
            uid: rank.clone(),
            resource_version: standing.version.clone(),
            age: Age {
                created: Timestamp(0),
                rank: rank.clone(),
            },
        },
        spec: Err(Refusal::new(Reason::Malformed, "", message)),
        bundle: None,
    }
}

/// Objects that no file holds any more, together: only all of them show how much is gone.
fn vanished(gone: Vec<ObjectKey>) -> impl Iterator<Item = Observation> {
    let mut by_kind: BTreeMap<_, Vec<ObjectKey>> = BTreeMap::new();
    for key in gone {
        let place = (Reverse(order(key.kind)), key.kind);
        by_kind.entry(place).or_default().push(key);
    }
    let origin = Origin::Folder;
    let kinds = by_kind.into_iter();
    kinds.map(move |((_, kind), keys)| Observation::Vanished { origin, kind, keys })
}

/// The order in which kinds are told.
pub(super) fn order(kind: Kind) -> usize {
    match kind {
        // None is in a folder.
        Kind::Certificate | Kind::TicketSecret | Kind::EndpointSlice => 0,
        Kind::IngressClass => 1,
        Kind::Service => 2,
        Kind::Secret => 3,
        Kind::Ingress => 4,
    }
}
