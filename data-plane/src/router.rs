//! Which rule serves a request: a snapshot's routes, compiled for lookup.
//!
//! Apart from the upstreams, so that a change of addresses compiles no route.

mod names;

use std::{collections::BTreeSet, num::NonZero, sync::Arc};

use roadstead_matcher::{
    matcher::{self, Matcher},
    score::Tier,
};
use smallvec::SmallVec;

pub use names::{Names, UpstreamId};

use crate::snapshot::{Route, Rule};

/// A snapshot's routes, compiled for lookup. Cheap to clone: versions share what did not change.
#[derive(Clone, Debug, Default)]
pub struct Router {
    /// Routes that name no listener, and so are served by all.
    shared: Matcher<Arc<RouteRule>>,
    /// For each listener that a route names: its own routes and the shared ones.
    named: imbl::OrdMap<Arc<str>, Named>,
}

#[derive(Clone, Debug)]
struct Named {
    rules: Matcher<Arc<RouteRule>>,
    /// How many routes name this listener.
    routes: usize,
}

/// One rule of a route: where its requests go.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// Its route's name and its place in the source: `ingress/NAMESPACE/NAME#spec.rules[0].http.paths[0]`.
    pub id: Arc<str>,
    /// Requests are shared among these by weight. Empty, or of weight 0 in all: 503.
    pub backends: SmallVec<[WeightedBackend; 1]>,
    /// By which port clients find HTTPS, if unencrypted requests are sent there once there is a
    /// certificate for their host.
    pub https_port: Option<NonZero<u16>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedBackend {
    /// None: the source names a Service that does not exist.
    pub upstream: Option<UpstreamId>,
    pub weight: u32,
}

/// A route before and after.
#[derive(Clone, Copy, Debug)]
pub struct RouteChange<'a> {
    pub name: &'a Arc<str>,
    pub before: Option<&'a Route>,
    pub after: Option<&'a Route>,
}

impl Router {
    /// The rule that serves `path` of `host` on `listener`; host and path are in canonical form.
    pub fn route(&self, listener: &str, host: &str, path: &str) -> Option<&Arc<RouteRule>> {
        self.rules(listener).lookup(host, path)
    }

    /// Whether a route of some listener is for this canonical host by name, be it by a wildcard.
    pub fn names_host(&self, host: &str) -> bool {
        let named = self.named.values().map(|named| &named.rules);
        let mut all = std::iter::once(&self.shared).chain(named);
        all.any(|rules| rules.names_host(host))
    }

    /// This router with some routes changed; `names` has every upstream that they name. Costs
    /// what the changes cost, however many other routes there are.
    #[must_use]
    pub fn with_changes(&self, changes: &[RouteChange<'_>], names: &Names) -> Self {
        let compiled: Vec<_> = changes
            .iter()
            .map(|change| (change, compile(change.after, names)))
            .collect();
        let mut named = self.named.clone();
        for listener in self.listeners(changes) {
            let old = named.get(&listener);
            let routes = count_after(old.map_or(0, |old| old.routes), &listener, changes);
            if routes == 0 {
                named.remove(&listener);
                continue;
            }
            let own = compiled.iter().map(|(change, rules)| {
                let served = change.after.is_some_and(|route| route.serves(&listener));
                let rules = if served { rules.clone() } else { Vec::new() };
                (change.name.clone(), rules)
            });
            let rules = old.map_or(&self.shared, |old| &old.rules).with_changes(own);
            named.insert(listener, Named { rules, routes });
        }
        let shared = compiled.into_iter().map(|(change, rules)| {
            let served = change.after.is_some_and(|route| route.listeners.is_empty());
            let rules = if served { rules } else { Vec::new() };
            (change.name.clone(), rules)
        });
        Self {
            shared: self.shared.with_changes(shared),
            named,
        }
    }

    fn rules(&self, listener: &str) -> &Matcher<Arc<RouteRule>> {
        self.named
            .get(listener)
            .map_or(&self.shared, |named| &named.rules)
    }

    /// Every listener that a route names now or named before.
    fn listeners(&self, changes: &[RouteChange<'_>]) -> BTreeSet<Arc<str>> {
        let changed = changes.iter().filter_map(|change| change.after);
        let named = changed.flat_map(|route| &route.listeners);
        named.chain(self.named.keys()).cloned().collect()
    }
}

type Rules = Vec<matcher::Rule<Arc<RouteRule>>>;

fn count_after(before: usize, listener: &str, changes: &[RouteChange<'_>]) -> usize {
    let naming = |route: Option<&Route>| route.is_some_and(|route| route.names(listener));
    let gone = changes
        .iter()
        .filter(|change| naming(change.before))
        .count();
    let come = changes.iter().filter(|change| naming(change.after)).count();
    (before + come).saturating_sub(gone)
}

fn compile(route: Option<&Route>, names: &Names) -> Rules {
    let rules = route.map_or(&[][..], |route| &route.rules);
    rules.iter().map(|rule| compile_rule(rule, names)).collect()
}

fn compile_rule(rule: &Rule, names: &Names) -> matcher::Rule<Arc<RouteRule>> {
    let backends = rule.backends.iter().map(|backend| WeightedBackend {
        upstream: backend
            .upstream
            .as_deref()
            .and_then(|name| names.find(name)),
        weight: backend.weight,
    });
    matcher::Rule {
        host: rule.host.clone(),
        path: rule.path.clone(),
        tier: if rule.fallback {
            Tier::Fallback
        } else {
            Tier::Rule
        },
        priority: 0,
        payload: Arc::new(RouteRule {
            id: rule.id.clone(),
            backends: backends.collect(),
            https_port: rule.https_port,
        }),
    }
}

#[cfg(test)]
mod tests;
