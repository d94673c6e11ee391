//! What users make of the simulated API server.

use std::collections::BTreeMap;

use roadstead_control_plane::model::guard::DeletionGuard;
use roadstead_control_plane::model::ingress::{ClassRef, Ingress, Rule};
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::object::{Age, Meta, Spec};
use roadstead_control_plane::model::settings::{HostOwnership, Settings};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::observe::Seen;
use roadstead_matcher::host::HostPattern;

pub(crate) fn key(name: u64) -> ObjectKey {
    ObjectKey {
        origin: Origin::Kubernetes,
        kind: Kind::Ingress,
        namespace: "a".into(),
        name: name.to_string().into(),
    }
}

pub(crate) fn seen(name: u64, (uid, version): (u64, u64)) -> Seen {
    let rule = Rule {
        host: HostPattern::parse(&format!("v{version}.example")).unwrap(),
        paths: None,
    };
    let ingress = Ingress {
        class: ClassRef::Field("roadstead".into()),
        default_backend: None,
        rules: vec![rule],
        tls: Vec::new(),
        shares_hosts_with: Vec::new(),
        ignored: Vec::new(),
    };
    Seen {
        key: key(name),
        meta: Meta {
            uid: uid.to_string().into(),
            resource_version: version.to_string().into(),
            age: Age {
                created: Timestamp(i64::try_from(uid).unwrap()),
                rank: name.to_string().into(),
            },
        },
        spec: Ok(Spec::Ingress(ingress)),
        bundle: None,
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        listeners: BTreeMap::new(),
        ingress_class: "roadstead".into(),
        host_ownership: HostOwnership::Shared,
        allow_local_external_names: false,
        deletion_guard: DeletionGuard::default(),
        beside: [].into(),
    }
}
