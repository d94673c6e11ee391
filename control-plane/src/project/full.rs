//! The whole of a state projected at once: for start-up, for a change of settings, and as
//! the oracle of the tests.
//!
//! Apart from the way that follows what was touched, which must come to the same.

use std::collections::BTreeSet;

use crate::model::key::{Kind, Origin};
use crate::project::{Fold, certificates, listeners, routes, tickets, upstreams};
use crate::snapshot::{Change, Snapshot};
use crate::state::State;

/// The snapshot of a state, made from nothing.
pub fn project_all(state: State) -> Snapshot {
    Fold::from_state(state).snapshot().clone()
}

/// Every resource that the state comes to, and the end of all others: configuration, endpoints.
pub(super) fn replace_all(state: &State, before: &Snapshot) -> (Vec<Change>, Vec<Change>) {
    let mut configuration: Vec<Change> = listeners::project(state).collect();
    for origin in Origin::ALL {
        let ingresses = state.keys(origin, Kind::Ingress);
        configuration.extend(ingresses.map(|key| routes::project(state, key)));
        for kind in [Kind::Certificate, Kind::Secret] {
            let all = state.keys(origin, kind);
            configuration.extend(all.flat_map(|key| certificates::project(state, key)));
        }
    }
    configuration.push(tickets::project(state));
    let certificates = state.certificates();
    let waiting = certificates.waiting();
    let waiting = waiting.filter(|host| !certificates.is_server_name(host));
    let hosts = certificates.server_names().chain(waiting);
    configuration.extend(hosts.map(|host| certificates::project_server_name(state, host)));
    let mut endpoints = Vec::new();
    let nothing = Snapshot::default();
    for service in state.services_in_use() {
        upstreams::project(state, &nothing, service, &mut configuration);
        upstreams::project_endpoints(state, &nothing, service, &mut endpoints);
    }
    let wanted: BTreeSet<_> = configuration
        .iter()
        .chain(&endpoints)
        .map(|change| change.id.clone())
        .collect();
    for id in before.resources().keys().filter(|id| !wanted.contains(id)) {
        let list = if id.is_endpoints() {
            &mut endpoints
        } else {
            &mut configuration
        };
        list.push(Change {
            id: id.clone(),
            body: None,
        });
    }
    (configuration, endpoints)
}
