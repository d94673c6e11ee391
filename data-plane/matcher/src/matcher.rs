//! Rules compiled for lookup.
//!
//! Apart from the patterns because it answers another question: not whether one
//! rule matches, but which of ten thousand does, without looking at the others.
//!
//! A matcher never changes. A change makes a new one that shares with the old
//! all but the few nodes on the way to the rules concerned.

use std::sync::Arc;

use crate::candidates::Rank;
use crate::host::{HostPattern, parent};
use crate::path::PathPattern;
use crate::paths::{Entry, Paths};
use crate::score::{Score, Tier};
use crate::tree::{Label, Tree};

pub use crate::candidates::{Candidate, Candidates};

/// One host and path, and what serves them.
#[derive(Clone, Debug)]
pub struct Rule<T> {
    pub host: HostPattern,
    pub path: PathPattern,
    pub tier: Tier,
    /// See [`score`](crate::score).
    pub priority: i32,
    pub payload: T,
}

/// Finds the rule that serves a request.
#[derive(Clone, Debug)]
pub struct Matcher<T> {
    exact: Tree<Paths<T>>,
    /// By suffix.
    one_label: Tree<Paths<T>>,
    any: Paths<T>,
    /// Where the rules of a route are, so that they can be taken out again.
    routes: Tree<Arc<[Place]>>,
    /// Rules with a priority. While there are none a more specific host always
    /// wins, and the others need not be asked.
    prioritised: usize,
}

#[derive(Debug)]
struct Place {
    host: HostPattern,
    path: PathPattern,
    priority: i32,
}

impl<T> Default for Matcher<T> {
    fn default() -> Self {
        Self {
            exact: Tree::new(),
            one_label: Tree::new(),
            any: Paths::new(),
            routes: Tree::new(),
            prioritised: 0,
        }
    }
}

impl<T> Matcher<T> {
    /// What serves `path` at `host`, both canonical. Allocates nothing.
    pub fn lookup(&self, host: &str, path: &str) -> Option<&T> {
        if self.prioritised == 0
            && let Some(paths) = self.exact.get(host.as_bytes())
            && let Some(entry) = paths.best(path, None)
            && entry.rank.score().tier == Tier::Rule
        {
            return Some(&entry.payload);
        }
        let first = self.candidates(host, path).next()?;
        Some(first.payload)
    }

    /// Whether some rule is for this canonical host by name, be it by a wildcard. Allocates nothing.
    pub fn names_host(&self, host: &str) -> bool {
        let of_wildcard = || parent(host).and_then(|suffix| self.one_label.get(suffix.as_bytes()));
        self.exact
            .get(host.as_bytes())
            .or_else(of_wildcard)
            .is_some()
    }

    /// All rules that match `path` at `host`, both canonical, in order of
    /// precedence. Allocates nothing; each step costs what a lookup does.
    pub fn candidates<'p>(&self, host: &str, path: &'p str) -> Candidates<'_, 'p, T> {
        let suffix = parent(host);
        Candidates::new(
            [
                self.exact.get(host.as_bytes()),
                suffix.and_then(|suffix| self.one_label.get(suffix.as_bytes())),
                Some(&self.any),
            ],
            path,
        )
    }
}

impl<T: Clone> Matcher<T> {
    /// This matcher with the rules of some routes replaced; no rules remove a
    /// route. Costs what the changed rules cost, however many others there are.
    #[must_use]
    pub fn with_changes(
        &self,
        changes: impl IntoIterator<Item = (Arc<str>, Vec<Rule<T>>)>,
    ) -> Self {
        let mut next = self.clone();
        for (route, rules) in changes {
            next.replace(&route, rules);
        }
        next
    }

    fn replace(&mut self, route: &Arc<str>, rules: Vec<Rule<T>>) {
        let places = rules.iter().map(|rule| Place {
            host: rule.host.clone(),
            path: rule.path.clone(),
            priority: rule.priority,
        });
        let places: Option<Arc<[Place]>> = (!rules.is_empty()).then(|| places.collect());
        let mut old = None;
        self.routes.update(route.as_bytes(), |slot| {
            old = std::mem::replace(slot, places)
        });
        for place in old.iter().flat_map(|places| &**places) {
            self.prioritised -= usize::from(place.priority != 0);
            self.paths(&place.host, |paths| {
                paths.remove(key(&place.path).as_bytes(), route);
            });
        }
        for (index, rule) in rules.into_iter().enumerate() {
            self.prioritised += usize::from(rule.priority != 0);
            let score = Score::new(rule.tier, rule.priority, &rule.host, &rule.path);
            let entry = Entry {
                path: Label::new(key(&rule.path).as_bytes()),
                rank: Rank::new(score, Arc::clone(route), index),
                payload: rule.payload,
            };
            self.paths(&rule.host, |paths| paths.insert(entry));
        }
    }

    /// Changes the rules of one host.
    fn paths(&mut self, host: &HostPattern, change: impl FnOnce(&mut Paths<T>)) {
        let (hosts, name) = match host {
            HostPattern::Exact(name) => (&mut self.exact, name),
            HostPattern::OneLabel(suffix) => (&mut self.one_label, suffix),
            HostPattern::Any => return change(&mut self.any),
        };
        hosts.update(name.as_bytes(), |slot| {
            let mut paths = slot.take().unwrap_or_else(Paths::new);
            change(&mut paths);
            *slot = (!paths.is_empty()).then_some(paths);
        });
    }
}

/// Where a pattern stands in the tree. The slash that ends an element is not
/// part of it: the root is the prefix of all, as `/a` is of `/a/b`.
fn key(path: &PathPattern) -> &str {
    match path {
        PathPattern::Exact(text) | PathPattern::BytePrefix(text) => text,
        PathPattern::ElementPrefix(text) => text.strip_suffix('/').unwrap_or(text),
    }
}

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;
