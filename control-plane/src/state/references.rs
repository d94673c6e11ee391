//! Which ports of which Services the claiming Ingresses send to.
//!
//! An index of its own, so that a Service's change finds its upstreams without looking at
//! any Ingress, and a Service that nothing names costs nothing.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::ingress::{BackendRef, Ingress, PortRef};
use crate::model::key::{Kind, ObjectKey};

/// Backends by Service: with each port as it is written, and with each Ingress, how often.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    ports: BTreeMap<(ObjectKey, PortRef), usize>,
    users: BTreeMap<(ObjectKey, ObjectKey), usize>,
}

impl References {
    /// Adds what an Ingress names; adds to `touched` the Services of which it is the first to name a port.
    pub(super) fn insert(
        &mut self,
        key: &ObjectKey,
        ingress: &Ingress,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        for backend in backends(ingress) {
            let service = key.sibling(Kind::Service, &backend.service);
            *self
                .users
                .entry((service.clone(), key.clone()))
                .or_default() += 1;
            let backends = self.ports.entry((service.clone(), backend.port.clone()));
            let backends = backends.or_insert_with(|| {
                touched.insert(service);
                0
            });
            *backends += 1;
        }
    }

    /// Takes away what an Ingress names; adds to `touched` the Services of which nobody names a port any more.
    pub(super) fn remove(
        &mut self,
        key: &ObjectKey,
        ingress: &Ingress,
        touched: &mut BTreeSet<ObjectKey>,
    ) {
        for backend in backends(ingress) {
            let service = key.sibling(Kind::Service, &backend.service);
            release(&mut self.users, (service.clone(), key.clone()));
            let port = (service.clone(), backend.port.clone());
            if release(&mut self.ports, port) == Some(0) {
                touched.insert(service);
            }
        }
    }

    pub(super) fn ports(&self, service: &ObjectKey) -> impl Iterator<Item = &PortRef> {
        let first = (service.clone(), PortRef::Name(Box::default()));
        let ports = self.ports.range(first..).map(|(port, _)| port);
        ports
            .take_while(move |(of, _)| of == service)
            .map(|(_, port)| port)
    }

    pub(super) fn users(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        let before_all = ObjectKey::before_all(service.origin, Kind::Ingress);
        let users = self.users.range((service.clone(), before_all)..);
        users
            .map(|(user, _)| user)
            .take_while(move |(of, _)| of == service)
            .map(|(_, user)| user)
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        let mut last = None;
        let services = self.ports.keys().map(|(service, _)| service);
        services.filter(move |service| last.replace(*service) != Some(*service))
    }
}

/// Counts one less and says how many are left; `None` if none was there.
pub(super) fn release<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) -> Option<usize> {
    let Entry::Occupied(mut count) = counts.entry(key) else {
        return None;
    };
    let left = count.get().saturating_sub(1);
    if left == 0 {
        count.remove();
    } else {
        count.insert(left);
    }
    Some(left)
}

fn backends(ingress: &Ingress) -> impl Iterator<Item = &BackendRef> {
    let paths = ingress.rules.iter().filter_map(|rule| rule.paths.as_ref());
    let of_paths = paths.flatten().map(|path| &path.backend);
    ingress.default_backend.iter().chain(of_paths)
}
