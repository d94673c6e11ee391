//! Which ports of which Services the claiming Ingresses send to.
//!
//! An index of its own, so that a Service's change finds its upstreams without looking at
//! any Ingress, and a Service that nothing names costs nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::ingress::{BackendRef, Ingress, PortRef};
use crate::model::key::{Kind, ObjectKey};

/// Services by key, their ports as written, and who wrote them.
#[derive(Clone, Debug, Default)]
pub(super) struct References {
    services: BTreeMap<ObjectKey, BTreeMap<PortRef, BTreeSet<ObjectKey>>>,
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
            let ports = self.services.entry(service.clone()).or_default();
            let users = ports.entry(backend.port.clone()).or_insert_with(|| {
                touched.insert(service);
                BTreeSet::new()
            });
            users.insert(key.clone());
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
            let Some(ports) = self.services.get_mut(&service) else {
                continue;
            };
            if let Some(users) = ports.get_mut(&backend.port) {
                users.remove(key);
                if users.is_empty() {
                    ports.remove(&backend.port);
                    touched.insert(service.clone());
                }
            }
            if ports.is_empty() {
                self.services.remove(&service);
            }
        }
    }

    pub(super) fn ports(&self, service: &ObjectKey) -> impl Iterator<Item = &PortRef> {
        self.services
            .get(service)
            .into_iter()
            .flat_map(BTreeMap::keys)
    }

    pub(super) fn users(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        let ports = self.services.get(service).into_iter();
        ports.flat_map(BTreeMap::values).flatten()
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.services.keys()
    }
}

fn backends(ingress: &Ingress) -> impl Iterator<Item = &BackendRef> {
    let paths = ingress.rules.iter().filter_map(|rule| rule.paths.as_ref());
    let of_paths = paths.flatten().map(|path| &path.backend);
    ingress.default_backend.iter().chain(of_paths)
}
