//! The rules of one host pattern, by path.
//!
//! Apart because of its two forms: nearly all hosts have a handful of rules, and
//! these stand together, so that a lookup that has found the host is one step from
//! its rule; the few hosts that have many get a tree.

use std::sync::Arc;

use crate::candidates::Rank;
use crate::score::PathRank;
use crate::tree::{Label, Tree};

/// A rule, and where its path stands.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) path: Label,
    pub(crate) rank: Rank,
    pub(crate) payload: T,
}

/// All rules of a host pattern.
#[derive(Clone, Debug)]
pub(crate) enum Paths<T> {
    /// In order of rank.
    Few(Arc<[Entry<T>]>),
    Many(Many<T>),
}

/// By path; those of one path in order of rank.
#[derive(Clone, Debug)]
pub(crate) struct Many<T> {
    tree: Tree<Arc<[Entry<T>]>>,
    /// Rules in the tree.
    len: usize,
}

/// More rules than this are kept in a tree.
const FEW: usize = 4;

impl<T> Paths<T> {
    pub(crate) fn new() -> Self {
        Self::Few(Arc::default())
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Few(entries) => entries.is_empty(),
            Self::Many(many) => many.len == 0,
        }
    }

    /// The first rule that matches `path`, of those that come after `last`.
    pub(crate) fn best(&self, path: &str, last: Option<&Rank>) -> Option<&Entry<T>> {
        let follows = |entry: &Entry<T>| last.is_none_or(|last| *last < entry.rank);
        match self {
            Self::Few(entries) => entries.iter().find(|entry| {
                let rest = entry.path.strip(path.as_bytes());
                rest.is_some_and(|rest| entry.ends_well(rest)) && follows(entry)
            }),
            Self::Many(many) => many
                .tree
                .prefixes(path.as_bytes())
                .filter_map(|(entries, rest)| {
                    let mut entries = entries.iter();
                    entries.find(|entry| entry.ends_well(rest) && follows(entry))
                })
                .min_by_key(|entry| &entry.rank),
        }
    }
}

impl<T: Clone> Paths<T> {
    pub(crate) fn insert(&mut self, entry: Entry<T>) {
        match self {
            Self::Few(entries) if entries.len() < FEW => *entries = with(entries, entry),
            Self::Few(entries) => {
                let mut many = Many {
                    tree: Tree::new(),
                    len: 0,
                };
                for entry in entries.iter().cloned().chain([entry]) {
                    many.insert(entry);
                }
                *self = Self::Many(many);
            }
            Self::Many(many) => many.insert(entry),
        }
    }

    /// Takes out the rules of a route that have this path.
    pub(crate) fn remove(&mut self, path: &[u8], route: &str) {
        let stays = |entry: &&Entry<T>| entry.path.as_bytes() != path || !entry.rank.is_of(route);
        match self {
            Self::Few(entries) => *entries = entries.iter().filter(stays).cloned().collect(),
            Self::Many(many) => {
                many.tree.update(path, |slot| {
                    let entries = slot.as_deref().unwrap_or_default();
                    let left: Arc<[_]> = entries.iter().filter(stays).cloned().collect();
                    many.len -= entries.len() - left.len();
                    *slot = (!left.is_empty()).then_some(left);
                });
                if many.len <= FEW {
                    let mut few = Vec::with_capacity(many.len);
                    many.tree
                        .each(&mut |entries| few.extend_from_slice(entries));
                    few.sort_by(|a, b| a.rank.cmp(&b.rank));
                    *self = Self::Few(few.into());
                }
            }
        }
    }
}

impl<T: Clone> Many<T> {
    fn insert(&mut self, entry: Entry<T>) {
        self.len += 1;
        let path = entry.path.clone();
        self.tree.update(path.as_bytes(), |slot| {
            *slot = Some(with(slot.as_deref().unwrap_or_default(), entry));
        });
    }
}

impl<T> Entry<T> {
    /// Whether a path that begins with this one's may go on with `rest`.
    fn ends_well(&self, rest: &[u8]) -> bool {
        match self.rank.score().path {
            PathRank::BytePrefix => true,
            PathRank::ElementPrefix => matches!(rest, [] | [b'/', ..]),
            PathRank::Exact => rest.is_empty(),
        }
    }
}

fn with<T: Clone>(entries: &[Entry<T>], entry: Entry<T>) -> Arc<[Entry<T>]> {
    let at = entries.partition_point(|other| other.rank < entry.rank);
    let (before, after) = entries.split_at(at);
    before
        .iter()
        .cloned()
        .chain([entry])
        .chain(after.iter().cloned())
        .collect()
}
