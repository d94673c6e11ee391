//! A wildcard that is obtained has the hosts of its namespace with it.

use roadstead_matcher::host::HostPattern;

use super::*;
use crate::model::bundle::BundleName;
use crate::model::certificate::{Certificate, KeyType};
use crate::model::ingress::{Ingress, Tls};
use crate::model::managed::{Issued, Managed, Renewal};
use crate::model::settings::{Obtains, Settings as Configured};
use crate::plan::issuance;

fn host(text: &str) -> HostPattern {
    HostPattern::parse(text).unwrap()
}

/// An Ingress that wants certificates for these hosts.
fn wants(name: &str, hosts: &[&str]) -> Observation {
    let tls = Tls {
        hosts: hosts.iter().map(|text| host(text)).collect(),
        secret: None,
    };
    let ingress = Ingress {
        tls: vec![tls],
        ..Ingress::default()
    };
    Observation::Changed(seen(key(Kind::Ingress, name), Spec::Ingress(ingress)))
}

fn managed(of: &Managed) -> Observation {
    let name = of.names[0].to_string();
    let spec = Spec::Managed(Box::new(of.clone()));
    let mut seen = seen(key(Kind::Certificate, &name), spec);
    seen.key.namespace = "".into();
    Observation::Changed(seen)
}

fn ordered(text: &str) -> Managed {
    let managed = Managed::new(vec![host(text)]);
    issuance::begin(&managed, "https://ca.example/directory", Timestamp(0))
}

fn issued(text: &str) -> Managed {
    let mut managed = Managed::new(vec![host(text)]);
    managed.issued = Some(Issued {
        certificate: Certificate {
            bundle: BundleName::of(text.as_bytes()),
            names: vec![host(text)],
            key_type: KeyType::Ecdsa,
            not_before: Timestamp(0),
            not_after: Timestamp(9),
            issuer: "CN=ca".into(),
            serial: "01".into(),
        },
        ca: "https://ca.example/directory".into(),
        id: Box::default(),
        renewal: Renewal {
            at: Timestamp(6),
            window: None,
            ask: Timestamp(6),
        },
        revoked: None,
        way: None,
    });
    managed
}

#[test]
fn a_host_has_that_of_its_wildcard_and_keeps_its_own_until_there_is_one() {
    let mut engine = begin(Fold::default(), 1);
    engine.turn(batch([
        Observation::Configured(Configured {
            obtains: Some(Obtains {
                by_dns: vec![host("a.example")],
                ..Obtains::default()
            }),
            ..Configured::default()
        }),
        wants("before", &["one.a.example"]),
        managed(&issued("one.a.example")),
        wants("all", &["*.a.example", "two.a.example"]),
    ]));
    let (one, two, all) = (
        host("one.a.example"),
        host("two.a.example"),
        host("*.a.example"),
    );
    let shown = |engine: &Engine<TestLog, TestOutlets>, of: &HostPattern| -> Vec<String> {
        let shown = engine.fold().state().certificates().shown_for(of).iter();
        shown.map(|key| key.name.to_string()).collect()
    };
    let obtained = |engine: &Engine<TestLog, TestOutlets>| -> Vec<String> {
        let lacking = engine.fold().state().certificates().lacking().iter();
        lacking.map(ToString::to_string).collect()
    };
    // What has one goes on to have it renewed: nobody knows whether the wildcard can be obtained.
    assert_eq!(obtained(&engine), ["one.a.example", "*.a.example"]);
    assert_eq!(shown(&engine, &one), ["one.a.example"]);
    assert!(shown(&engine, &two).is_empty());
    assert!(!engine.fold().state().is_expected(&two));

    engine.turn(batch([managed(&ordered("*.a.example"))]));
    let state = engine.fold().state();
    assert!(state.is_expected(&two) && state.is_expected(&all) && !state.is_expected(&one));

    engine.turn(batch([managed(&issued("*.a.example"))]));
    assert_eq!(obtained(&engine), ["*.a.example"]);
    assert_eq!(shown(&engine, &one), ["one.a.example"]);
    assert_eq!(shown(&engine, &two), ["*.a.example"]);

    // Its own expired and was forgotten.
    let mut own = key(Kind::Certificate, "one.a.example");
    own.namespace = "".into();
    engine.turn(batch([Observation::Deleted(own)]));
    assert_eq!(shown(&engine, &one), ["*.a.example"]);

    // Without the wildcard each is obtained for itself.
    engine.turn(batch([wants("all", &["two.a.example"])]));
    assert_eq!(obtained(&engine), ["one.a.example", "two.a.example"]);
    assert!(shown(&engine, &two).is_empty());
}
