//! The rules that match a request, in their order.
//!
//! Apart from `matcher`, which finds the host patterns that concern a host, and
//! from `paths`, which holds the rules of each: this asks them along one path and
//! takes what comes first.

use std::cmp::Reverse;
use std::sync::Arc;

use crate::paths::Paths;
use crate::score::Score;

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
            .filter_map(|paths| paths.best(self.path, self.last))
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
