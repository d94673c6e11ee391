//! Which bundles a publication names: its certificates, and what session tickets are made by.
//!
//! Apart from the bundles: found by difference, so that its cost follows the change and not the
//! size of the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use prost::Message as _;
use roadstead_proto::v1::{self, ResourceType};

use crate::model::bundle::BundleName;
use crate::snapshot::publication::Publication;
use crate::snapshot::{Resource, ResourceId};

/// What the newest publication that was seen refers to.
#[derive(Debug, Default)]
pub(super) struct References {
    number: u64,
    resources: OrdMap<ResourceId, Arc<Resource>>,
    /// How many resources name a bundle.
    names: BTreeMap<BundleName, usize>,
}

/// What another publication refers to that the one before did not, and the other way round.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) added: Vec<BundleName>,
    pub(super) removed: Vec<BundleName>,
}

impl References {
    /// Whether this publication is newer.
    pub(super) fn is_behind(&self, publication: &Publication) -> bool {
        publication.number() > self.number
    }

    /// Takes in a publication, if it is newer.
    pub(super) fn follow(&mut self, publication: &Publication) -> Moved {
        if !self.is_behind(publication) {
            return Moved::default();
        }
        self.number = publication.number();
        let now = publication.snapshot().resources().clone();
        let before = std::mem::replace(&mut self.resources, now.clone());
        let (mut old, mut new) = (Vec::new(), Vec::new());
        for item in before.diff(&now) {
            match item {
                DiffItem::Add(id, resource) => new.extend(named(id, resource)),
                DiffItem::Remove(id, resource) => old.extend(named(id, resource)),
                DiffItem::Update {
                    old: (id, before),
                    new: (_, after),
                } => {
                    old.extend(named(id, before));
                    new.extend(named(id, after));
                }
            }
        }
        let mut moved = Moved::default();
        // First what is new: what only changed its certificate is not gone in between.
        for name in new {
            let count = self.names.entry(name).or_default();
            *count += 1;
            if *count == 1 {
                moved.added.push(name);
            }
        }
        for name in old {
            let count = self.names.get(&name).copied().unwrap_or_default();
            if count > 1 {
                self.names.insert(name, count - 1);
            } else if self.names.remove(&name).is_some() {
                moved.removed.push(name);
            }
        }
        moved
    }

    /// Whether it refers to this bundle.
    pub(super) fn has(&self, name: BundleName) -> bool {
        self.names.contains_key(&name)
    }
}

/// The bundles that a resource names.
fn named(id: &ResourceId, resource: &Resource) -> Vec<BundleName> {
    let body = || resource.body.clone();
    let names = match id.kind {
        ResourceType::Certificate => {
            let certificate = v1::Certificate::decode(body());
            certificate.map(|certificate| vec![certificate.bundle])
        }
        ResourceType::TicketSecrets => {
            v1::TicketSecrets::decode(body()).map(|secrets| secrets.secrets)
        }
        ResourceType::Unspecified
        | ResourceType::Listener
        | ResourceType::Route
        | ResourceType::Upstream
        | ResourceType::Endpoints
        | ResourceType::ServerName
        | ResourceType::Challenge => return Vec::new(),
    };
    let names = names.into_iter().flatten();
    let names = names.filter_map(|name| BundleName::from_bytes(&name).ok());
    names.collect()
}
