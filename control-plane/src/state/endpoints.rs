//! Endpoint slices by name and by Service.
//!
//! Apart from the objects, because they change far more often than anything else and are
//! applied without a record.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use crate::model::endpoints::EndpointSlice;
use crate::model::key::{Kind, ObjectKey};

/// A slice is now this, or gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceChange {
    pub key: ObjectKey,
    pub slice: Option<HeldSlice>,
}

/// What is held of a slice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldSlice {
    /// Of the object: another one of its name does not inherit what this says. Empty if not
    /// known, as in what was stored before uids were.
    pub uid: Arc<str>,
    #[serde(flatten)]
    pub spec: EndpointSlice,
}

impl HeldSlice {
    /// Reads what was serialized, with a uid or, as it once was, without.
    ///
    /// # Errors
    ///
    /// If it is no slice.
    pub fn from_json(json: &[u8]) -> serde_json::Result<Self> {
        // By two looks: what is flattened is put together in memory first, which costs more.
        let Identity { uid } = serde_json::from_slice(json)?;
        let spec = serde_json::from_slice(json)?;
        Ok(Self { uid, spec })
    }
}

#[derive(Deserialize)]
struct Identity {
    #[serde(default)]
    uid: Arc<str>,
}

/// All slices by name. A clone shares what does not change.
pub type SliceMap = OrdMap<ObjectKey, Arc<HeldSlice>>;

/// All slices, indexed both ways.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    all: SliceMap,
    /// Each Service and its slices.
    by_service: BTreeSet<(ObjectKey, ObjectKey)>,
}

impl Slices {
    /// Takes in a change and names the Services whose endpoints it touched.
    pub(super) fn apply(&mut self, change: SliceChange, services: &mut BTreeSet<ObjectKey>) {
        let SliceChange { key, slice } = change;
        let before = match slice {
            Some(slice) => {
                let service = key.sibling(Kind::Service, &slice.spec.service);
                self.by_service.insert((service.clone(), key.clone()));
                services.insert(service);
                self.all.insert(key.clone(), Arc::new(slice))
            }
            None => self.all.remove(&key),
        };
        let Some(before) = before else { return };
        let service = key.sibling(Kind::Service, &before.spec.service);
        let still = self.all.get(&key).map(|slice| &slice.spec.service);
        if still != Some(&before.spec.service) {
            self.by_service.remove(&(service.clone(), key));
        }
        services.insert(service);
    }

    pub(super) fn all(&self) -> &SliceMap {
        &self.all
    }

    /// The Services all of whose slices these are. Costs what these are, not what there is.
    pub(super) fn emptied_by(&self, slices: &BTreeSet<ObjectKey>) -> BTreeSet<ObjectKey> {
        let services = slices.iter().filter_map(|key| {
            let slice = self.all.get(key)?;
            Some(key.sibling(Kind::Service, &slice.spec.service))
        });
        let services: BTreeSet<ObjectKey> = services.collect();
        let emptied =
            |service: &ObjectKey| self.names_of(service).all(|name| slices.contains(name));
        services.into_iter().filter(emptied).collect()
    }

    pub(super) fn of(&self, service: &ObjectKey) -> impl Iterator<Item = &EndpointSlice> {
        let names = self.names_of(service);
        names.filter_map(|name| Some(&self.all.get(name)?.spec))
    }

    fn names_of(&self, service: &ObjectKey) -> impl Iterator<Item = &ObjectKey> {
        let before_all = ObjectKey::before_all(service.origin, Kind::EndpointSlice);
        let slices = self.by_service.range((service.clone(), before_all)..);
        slices
            .take_while(move |(of, _)| of == service)
            .map(|(_, slice)| slice)
    }
}
