//! Endpoint slices by name and by Service.
//!
//! Apart from the objects, because they change far more often than anything else and are
//! applied without a record.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::endpoints::EndpointSlice;
use crate::model::key::{Kind, ObjectKey};

/// A slice is now this, or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceChange {
    pub key: ObjectKey,
    pub slice: Option<EndpointSlice>,
}

/// All slices, indexed both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    all: BTreeMap<ObjectKey, EndpointSlice>,
    /// Each Service and its slices.
    by_service: BTreeSet<(ObjectKey, ObjectKey)>,
}

impl Slices {
    /// Takes in a change and names the Services whose endpoints it touched.
    pub(super) fn apply(&mut self, change: SliceChange, services: &mut BTreeSet<ObjectKey>) {
        let SliceChange { key, slice } = change;
        let before = match slice {
            Some(slice) => {
                let service = key.sibling(Kind::Service, &slice.service);
                self.by_service.insert((service.clone(), key.clone()));
                services.insert(service);
                self.all.insert(key.clone(), slice)
            }
            None => self.all.remove(&key),
        };
        let Some(before) = before else { return };
        let service = key.sibling(Kind::Service, &before.service);
        let still = self.all.get(&key).map(|slice| &slice.service);
        if still != Some(&before.service) {
            self.by_service.remove(&(service.clone(), key));
        }
        services.insert(service);
    }

    pub(super) fn all(&self) -> &BTreeMap<ObjectKey, EndpointSlice> {
        &self.all
    }

    /// The Services all of whose slices these are.
    pub(super) fn emptied_by(&self, slices: &BTreeSet<ObjectKey>) -> BTreeSet<&ObjectKey> {
        let mut emptied = BTreeSet::new();
        let mut spared = BTreeSet::new();
        for (service, slice) in &self.by_service {
            if slices.contains(slice) {
                emptied.insert(service);
            } else {
                spared.insert(service);
            }
        }
        &emptied - &spared
    }

    pub(super) fn of(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        let before_all = ObjectKey::before_all(service.origin, Kind::EndpointSlice);
        let slices = self.by_service.range((service.clone(), before_all)..);
        slices
            .take_while(move |(of, _)| of == service)
            .filter_map(|(_, slice)| self.all.get(slice))
    }
}
