//! What a leader keeps of a certificate, and what it tells of it.

use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::managed::Managed;
use roadstead_control_plane::model::object::{Age, Meta, Spec};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::Seen;
use roadstead_control_plane::plan::issuance::scheduler::Item;
use roadstead_matcher::host::HostPattern;

use crate::ca::bundle;

/// A certificate, without its keys.
#[derive(Clone)]
pub(crate) struct Kept(pub(crate) Managed);

impl Item for Kept {
    fn managed(&self) -> &Managed {
        &self.0
    }

    fn anew(&self) -> Self {
        Self(Managed::new(self.0.names.clone()))
    }
}

/// The certificate of this host.
pub(crate) fn key(host: &HostPattern) -> ObjectKey {
    ObjectKey {
        name: host.to_string().into(),
        ..ObjectKey::before_all(Origin::Kubernetes, Kind::Certificate)
    }
}

/// What is told of it.
pub(crate) fn seen(key: &ObjectKey, managed: &Managed, revision: &str) -> Seen {
    let meta = Meta {
        uid: key.name.clone(),
        resource_version: revision.into(),
        age: Age {
            created: Timestamp(0),
            rank: key.name.clone(),
        },
    };
    Seen {
        key: key.clone(),
        meta,
        spec: Ok(Spec::Managed(Box::new(managed.clone()))),
        bundle: managed.issued.as_ref().map(|issued| bundle(&issued.id)),
    }
}
