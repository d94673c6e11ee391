//! Which rule serves a request: a snapshot's routes, compiled for lookup.
//!
//! Apart from the upstreams, so that a change of addresses compiles no route.

mod names;

use std::sync::Arc;

pub use names::{Names, UpstreamId};

/// A snapshot's routes, compiled for lookup. Cheap to clone: versions share what did not change.
#[derive(Clone, Debug, Default)]
pub struct Router {}

impl Router {
    /// The rule that serves `path` of `host` on `listener`; host and path are in canonical form.
    pub fn route(&self, _listener: &str, _host: &str, _path: &str) -> Option<&Arc<RouteRule>> {
        None
    }
}

/// One rule of a route: where its requests go.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// Its route's name and its place in the source: `ingress/NAMESPACE/NAME#spec.rules[0].http.paths[0]`.
    pub id: Arc<str>,
    /// Requests are shared among these by weight. Empty, or of weight 0 in all: 503.
    pub backends: Box<[WeightedBackend]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedBackend {
    /// None: the source names a Service that does not exist.
    pub upstream: Option<UpstreamId>,
    pub weight: u32,
}
