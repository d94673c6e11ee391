//! The configuration as proxies receive it: named resources of opaque bytes, a version, and
//! a set hash that is updated with each change and never found by walking.
//!
//! Snapshots share what did not change, so that the one being served, the one being
//! built and those being sent cost one copy.

pub mod dialogue;
pub mod diff;
pub mod publication;
pub mod transfer;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use roadstead_proto::digest::{Digest, resource_hash};
use roadstead_proto::v1::{self, ResourceType};

use crate::event::{Epoch, Seq};

/// The record that last changed the configuration, or began an epoch.
///
/// Versions of one lineage are ordered by epoch, then sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub epoch: Epoch,
    pub seq: Seq,
}

impl Version {
    /// The wire form, in the lineage of an installation.
    pub fn to_proto(self, lineage: &str) -> v1::Version {
        v1::Version {
            lineage: lineage.to_owned(),
            epoch: self.epoch.0,
            seq: self.seq.0,
        }
    }
}

/// `epoch.seq`
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// Identifies a resource within a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId {
    pub kind: ResourceType,
    pub name: Arc<str>,
}

impl ResourceId {
    /// The resource of this type and name.
    pub fn new(kind: ResourceType, name: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }

    /// Whether it is an upstream's addresses, which no version covers.
    pub fn is_endpoints(&self) -> bool {
        self.kind == ResourceType::Endpoints
    }

    /// The wire form.
    pub fn to_proto(&self) -> v1::ResourceId {
        v1::ResourceId {
            r#type: self.kind.into(),
            name: self.name.as_ref().to_owned(),
        }
    }
}

/// One resource: the encoded message of its type, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    pub body: Bytes,
    pub hash: [u8; 16],
    /// The version that last changed it; `None` for endpoints, which no version covers.
    pub changed_at: Option<Version>,
    /// Capabilities that a proxy needs to use it.
    pub requires: &'static [&'static str],
}

impl Resource {
    /// The wire form, in the lineage of an installation.
    pub fn to_proto(&self, id: &ResourceId, lineage: &str) -> v1::Resource {
        v1::Resource {
            r#type: id.kind.into(),
            name: id.name.as_ref().to_owned(),
            body: self.body.clone(),
            hash: self.hash.to_vec().into(),
            changed_at: self.changed_at.map(|version| version.to_proto(lineage)),
            requires: self.requires.iter().map(|&name| name.to_owned()).collect(),
        }
    }
}

/// What projection wants a resource to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: ResourceId,
    /// Its body and the capabilities it needs; `None`: it is to be gone.
    pub body: Option<(Vec<u8>, &'static [&'static str])>,
}

/// All resources of one version, and the endpoints of now.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    version: Version,
    resources: OrdMap<ResourceId, Arc<Resource>>,
    /// Over the configuration.
    configuration: Digest,
    /// Over everything, endpoints included.
    whole: Digest,
    endpoints_revision: u64,
}

impl Snapshot {
    /// The version of the configuration.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Counts the changes of endpoints since this leader began.
    pub fn endpoints_revision(&self) -> u64 {
        self.endpoints_revision
    }

    /// All resources, in order of type and name.
    pub fn resources(&self) -> &OrdMap<ResourceId, Arc<Resource>> {
        &self.resources
    }

    /// The set hash over the configuration, without endpoints.
    pub fn configuration_digest(&self) -> &Digest {
        &self.configuration
    }

    /// The set hash over everything that a proxy holds.
    pub fn digest(&self) -> &Digest {
        &self.whole
    }

    /// A leader began: its version stands above all of its predecessors', changed or not.
    pub fn begin_epoch(&mut self, version: Version) {
        self.version = version;
    }

    /// Takes in what a record changed, and returns what really is different.
    ///
    /// The version moves only if some resource does.
    pub fn configure(&mut self, version: Version, changes: Vec<Change>) -> Vec<ResourceId> {
        let changed: Vec<ResourceId> = changes
            .into_iter()
            .filter_map(|change| self.replace(change, Some(version)))
            .collect();
        if !changed.is_empty() {
            self.version = version;
        }
        changed
    }

    /// Takes in changes of endpoints, and returns what really is different.
    pub fn configure_endpoints(&mut self, changes: Vec<Change>) -> Vec<ResourceId> {
        let changed: Vec<ResourceId> = changes
            .into_iter()
            .filter_map(|change| self.replace(change, None))
            .collect();
        if !changed.is_empty() {
            self.endpoints_revision += 1;
        }
        changed
    }

    /// Restores the versions of last change that a checkpoint holds, for resources whose
    /// bytes are still the same.
    pub fn restore(
        &mut self,
        version: Version,
        known: impl IntoIterator<Item = (ResourceId, [u8; 16], Version)>,
    ) {
        self.version = version;
        for (id, hash, changed_at) in known {
            if let Some(resource) = self.resources.get_mut(&id)
                && resource.hash == hash
            {
                Arc::make_mut(resource).changed_at = Some(changed_at);
            }
        }
    }

    fn replace(&mut self, change: Change, version: Option<Version>) -> Option<ResourceId> {
        let Change { id, body } = change;
        let before = self.resources.get(&id).map(|resource| resource.hash);
        let after = match body {
            Some((body, requires)) => {
                let hash = resource_hash(&body, requires.iter().copied());
                if before == Some(hash) {
                    return None;
                }
                let resource = Resource {
                    body: body.into(),
                    hash,
                    changed_at: version,
                    requires,
                };
                self.resources.insert(id.clone(), Arc::new(resource));
                Some(hash)
            }
            None => {
                self.resources.remove(&id)?;
                None
            }
        };
        let of_configuration = !id.is_endpoints();
        for (digest, counts) in [
            (&mut self.configuration, of_configuration),
            (&mut self.whole, true),
        ] {
            if counts {
                if let Some(hash) = before {
                    digest.remove(id.kind, &id.name, &hash);
                }
                if let Some(hash) = after {
                    digest.insert(id.kind, &id.name, &hash);
                }
            }
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_what_a_resource_requires_alone_is_a_change() {
        let mut snapshot = Snapshot::default();
        let version = |seq| Version {
            epoch: Epoch(1),
            seq: Seq(seq),
        };
        let wanting = |requires| {
            vec![Change {
                id: ResourceId::new(ResourceType::Route, "r"),
                body: Some((b"body".to_vec(), requires)),
            }]
        };
        assert_eq!(snapshot.configure(version(1), wanting(&[])).len(), 1);
        let before = snapshot.digest().clone();
        assert_eq!(snapshot.configure(version(2), wanting(&["auth"])).len(), 1);
        assert_eq!(snapshot.version(), version(2));
        assert_ne!(*snapshot.digest(), before);
        assert_eq!(snapshot.configure(version(3), wanting(&["auth"])), []);
    }
}
