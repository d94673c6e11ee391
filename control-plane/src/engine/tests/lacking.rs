//! For which hosts a certificate is obtained, as the engine tells it.

use super::*;
use crate::model::ingress::{Ingress, Tls};
use crate::model::managed::Managed;
use crate::model::settings::{Obtains, Settings as Configured};
use crate::plan::issuance;
use crate::snapshot::ResourceId;
use roadstead_matcher::host::HostPattern;
use roadstead_proto::v1::ResourceType;

fn configured(beside: &[&str]) -> Observation {
    Observation::Configured(Configured {
        beside: beside.iter().map(|name| (*name).into()).collect(),
        obtains: Some(Obtains::default()),
        ..Configured::default()
    })
}

/// A complete list of this kind, in which an Ingress wants a certificate.
fn list(kind: Kind) -> Observation {
    let tls = Tls {
        hosts: vec![HostPattern::parse("a.example").unwrap()],
        secret: None,
    };
    let ingress = Ingress {
        tls: vec![tls],
        ..Ingress::default()
    };
    let ingress = seen(key(Kind::Ingress, "a"), Spec::Ingress(ingress));
    Observation::Listed {
        origin: Origin::Folder,
        kind,
        objects: [ingress]
            .into_iter()
            .filter(|_| kind == Kind::Ingress)
            .collect(),
        unreadable: vec![],
    }
}

/// What was told last; `None`: that it is not known.
fn told() -> Option<usize> {
    world(|world| world.lacking.as_ref().map(imbl::OrdSet::len))
}

#[test]
fn which_hosts_lack_a_certificate_is_told_once_all_that_decides_it_is_known() {
    let kinds = [
        Kind::Ingress,
        Kind::Secret,
        Kind::Certificate,
        Kind::IngressClass,
    ];
    let mut engine = begin(Fold::default(), 1);
    engine.lead(Settings {
        lineage: "l".into(),
        epoch: Epoch(2),
        binary_version: "test".into(),
        awaited: kinds.map(|kind| (Origin::Folder, kind)).into(),
    });
    engine.turn(batch([configured(&[])]));
    for kind in kinds {
        assert_eq!(told(), None);
        engine.turn(batch([list(kind)]));
    }
    assert_eq!(told(), Some(1));
    // Who cannot read Secrets must not take them for gone, nor order for all of them.
    engine.turn(batch([Observation::Unlistable {
        origin: Origin::Folder,
        kind: Kind::Secret,
        message: "forbidden".into(),
    }]));
    assert_eq!(told(), None);
    engine.turn(batch([list(Kind::Secret)]));
    assert_eq!(told(), Some(1));
    // Another controller obtains them.
    engine.turn(batch([configured(&["other.example/controller"])]));
    assert_eq!(told(), Some(0));
}

#[test]
fn a_certificate_is_expected_while_an_order_for_it_is_under_way() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([configured(&[])]));
    engine.turn(batch([list(Kind::Ingress)]));
    let host = HostPattern::parse("a.example").unwrap();
    let mut is_expected = |managed: Option<&Managed>| {
        if let Some(managed) = managed {
            let spec = Spec::Managed(Box::new(managed.clone()));
            let seen = seen(key(Kind::Certificate, "a.example"), spec);
            engine.turn(batch([Observation::Changed(seen)]));
        }
        let id = ResourceId::new(ResourceType::ServerName, "a.example");
        let expected = engine.fold().state().is_expected(&host);
        let told = engine.fold().snapshot().resources().contains_key(&id);
        assert_eq!(told, expected);
        expected
    };
    // It may wait for the CA's limits, or for a CA that is not there.
    assert!(!is_expected(None));
    let managed = Managed::new(vec![host.clone()]);
    assert!(!is_expected(Some(&managed)));
    let ordered = issuance::begin(&managed, "https://ca.example/directory", Timestamp(0));
    assert!(is_expected(Some(&ordered)));
    assert!(!is_expected(Some(&issuance::abandon(
        &ordered,
        Timestamp(1)
    ))));
}
