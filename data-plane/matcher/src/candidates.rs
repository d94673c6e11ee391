//! The rules that match a request, in their order.
//!
//! Apart from `matcher`, which finds the trees that concern a host: this walks
//! them along one path and takes what comes first.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::score::{PathRank, Score};
use crate::tree::Tree;

/// The rules of one host pattern by path; those of one path are in order.
pub(crate) type Paths<T> = Tree<Arc<[Entry<T>]>>;

/// A rule in the tree, at the key of its path.
#[derive(Clone, Debug)]
pub(crate) struct Entry<T> {
    pub(crate) rank: Rank,
    pub(crate) payload: T,
}

/// The lesser comes first. No two rules have the same, so that rules of equal
/// score have an order as well.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    score: Reverse<Score>,
    route: Arc<str>,
    index: usize,
}

impl Rank {
    pub(crate) fn new(score: Score, route: Arc<str>, index: usize) -> Self {
        let score = Reverse(score);
        Self {
            score,
            route,
            index,
        }
    }

    pub(crate) fn score(&self) -> Score {
        self.score.0
    }

    pub(crate) fn is_of(&self, route: &str) -> bool {
        *self.route == *route
    }
}

/// A rule that matches a request.
#[derive(Debug)]
pub struct Candidate<'a, T> {
    pub score: Score,
    pub route: &'a str,
    /// Its place among the rules of its route.
    pub index: usize,
    pub payload: &'a T,
}

/// See [`Matcher::candidates`](crate::matcher::Matcher::candidates).
#[derive(Debug)]
pub struct Candidates<'a, 'p, T> {
    hosts: [Option<&'a Paths<T>>; 3],
    path: &'p str,
    last: Option<&'a Rank>,
}

impl<'a, 'p, T> Candidates<'a, 'p, T> {
    pub(crate) fn new(hosts: [Option<&'a Paths<T>>; 3], path: &'p str) -> Self {
        Self {
            hosts,
            path,
            last: None,
        }
    }
}

impl<'a, T> Iterator for Candidates<'a, '_, T> {
    type Item = Candidate<'a, T>;

    fn next(&mut self) -> Option<Self::Item> {
        let hosts = self.hosts.iter().flatten();
        let entry = hosts
            .filter_map(|paths| best(paths, self.path, self.last))
            .min_by_key(|entry| &entry.rank)?;
        self.last = Some(&entry.rank);
        Some(Candidate {
            score: entry.rank.score(),
            route: &entry.rank.route,
            index: entry.rank.index,
            payload: &entry.payload,
        })
    }
}

/// The first rule that matches `path`, of those that come after `last`.
pub(crate) fn best<'a, T>(
    paths: &'a Paths<T>,
    path: &str,
    last: Option<&Rank>,
) -> Option<&'a Entry<T>> {
    let mut best: Option<&Entry<T>> = None;
    for (entries, rest) in paths.prefixes(path.as_bytes()) {
        let found = entries.iter().find(|entry| {
            ends_well(entry.rank.score().path, rest) && last.is_none_or(|last| *last < entry.rank)
        });
        if let Some(found) = found
            && best.is_none_or(|best| found.rank < best.rank)
        {
            best = Some(found);
        }
    }
    best
}

/// Whether a path that begins with a pattern of this kind may go on with `rest`.
fn ends_well(kind: PathRank, rest: &[u8]) -> bool {
    match kind {
        PathRank::BytePrefix => true,
        PathRank::ElementPrefix => matches!(rest, [] | [b'/', ..]),
        PathRank::Exact => rest.is_empty(),
    }
}
