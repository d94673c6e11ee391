//! How much is lost with objects that are gone.
//!
//! Routes are the measure for every kind: a list of EndpointSlices without a single one takes
//! the same traffic down as one without Ingresses does.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

use crate::event::hold::Extent;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::state::State;
use crate::state::endpoints::SliceChange;

/// Objects of one kind that are gone.
#[derive(Clone, Copy)]
pub(super) struct Loss<'a> {
    pub(super) state: &'a State,
    pub(super) origin: Origin,
    pub(super) kind: Kind,
    pub(super) gone: &'a BTreeSet<ObjectKey>,
    /// Slices that came by the same list, and that `state` does not know yet: a Service all of
    /// whose slices were replaced has lost nothing.
    pub(super) arrived: &'a [SliceChange],
}

impl<'a> Loss<'a> {
    /// Of these objects, and nothing came by the same look.
    pub(super) fn of(
        state: &'a State,
        origin: Origin,
        kind: Kind,
        gone: &'a BTreeSet<ObjectKey>,
    ) -> Self {
        Self {
            state,
            origin,
            kind,
            gone,
            arrived: &[],
        }
    }

    /// Whether that is too much to follow.
    pub(super) fn is_held_back(self) -> bool {
        let guard = self
            .state
            .settings()
            .map(|settings| settings.deletion_guard);
        let guard = guard.unwrap_or_default();
        let routes = self.routes();
        // All there are can only be fewer than a share if there are enough of these.
        !guard.follows(routes, routes) && !guard.follows(routes, self.all_routes().count())
    }

    pub(super) fn extent(self) -> Extent {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let sample = self.gone.iter().take(SAMPLE).map(|key| {
            if key.namespace.is_empty() {
                (*key.name).into()
            } else {
                format!("{}/{}", key.namespace, key.name).into()
            }
        });
        Extent {
            origin: self.origin,
            kind: self.kind,
            objects: count(self.gone.len()),
            routes: count(self.routes()),
            of_routes: count(self.all_routes().count()),
            sample: sample.collect(),
            set: set(self.gone),
        }
    }

    /// How many routes would be lost without these objects, or would lose what they need.
    fn routes(self) -> usize {
        let Self { state, gone, .. } = self;
        if gone.is_empty() {
            return 0;
        }
        match self.kind {
            Kind::Ingress => gone.iter().filter(|key| is_route(state, key)).count(),
            Kind::IngressClass => self
                .all_routes()
                .filter(|key| {
                    let class = state.class_of(key);
                    !class.is_some_and(|class| state.serves_without(self.origin, class, gone))
                })
                .count(),
            Kind::Secret => {
                let users = gone.iter().flat_map(|key| state.certificates().users(key));
                users.collect::<BTreeSet<_>>().len()
            }
            Kind::Certificate => {
                let users = gone.iter().flat_map(|key| {
                    let names = state.managed(key).map(|managed| managed.names.as_slice());
                    let certificates = state.certificates();
                    let shown = names.into_iter().flatten();
                    let shown =
                        shown.filter(move |host| certificates.shown_for(host).contains(key));
                    shown.flat_map(move |host| certificates.wanted_by(host))
                });
                users.collect::<BTreeSet<_>>().len()
            }
            Kind::Service => users(state, gone),
            // No route depends on it.
            Kind::TicketSecret => 0,
            Kind::EndpointSlice => {
                let mut emptied = state.services_emptied_by(gone);
                for SliceChange { key, slice } in self.arrived {
                    if let Some(slice) = slice {
                        emptied.remove(&key.sibling(Kind::Service, &slice.spec.service));
                    }
                }
                users(state, &emptied)
            }
        }
    }

    fn all_routes(&self) -> impl Iterator<Item = &ObjectKey> {
        let ingresses = self.state.keys(self.origin, Kind::Ingress);
        ingresses.filter(|key| is_route(self.state, key))
    }
}

/// How many Ingresses send to these Services.
fn users(state: &State, services: &BTreeSet<ObjectKey>) -> usize {
    let users = services.iter().flat_map(|key| state.users_of(key));
    users.collect::<BTreeSet<_>>().len()
}

fn is_route(state: &State, key: &ObjectKey) -> bool {
    let class = state.class_of(key);
    let ours = class.is_some_and(|class| state.serves(key.origin, class));
    ours && state.ingress(key).is_some()
}

/// Which objects these are: a hash of their names.
fn set(keys: &BTreeSet<ObjectKey>) -> Box<str> {
    let mut hash = Sha256::new();
    for key in keys {
        // No name has a slash or a line's end in it.
        for part in [&*key.namespace, "/", &*key.name, "\n"] {
            hash.update(part);
        }
    }
    let digits = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    digits.into()
}

/// Enough to see what it is about.
const SAMPLE: usize = 10;
