//! A wildcard that is obtained has the hosts of its namespace with it.

use roadstead_matcher::host::HostPattern;

use super::*;
use crate::model::bundle::BundleName;
use crate::model::certificate::{Certificate, KeyType};
use crate::model::ingress::{Ingress, Tls};
use crate::model::managed::{ChallengeType, Issued, Managed, Renewal, Trouble};
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

fn issued(text: &str, until: i64) -> Managed {
    let mut managed = Managed::new(vec![host(text)]);
    managed.issued = Some(Issued {
        certificate: Certificate {
            bundle: BundleName::of(text.as_bytes()),
            names: vec![host(text)],
            key_type: KeyType::Ecdsa,
            not_before: Timestamp(0),
            not_after: Timestamp(until),
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

/// So many attempts at it came to nothing.
fn failing(managed: Managed, failures: u32, late: bool) -> Managed {
    Managed {
        trouble: Some(Trouble {
            failures,
            message: "no".into(),
            not_before: Timestamp(0),
            asked: None,
            way: None,
            late,
        }),
        ..managed
    }
}

/// One in which these Ingresses want certificates, and wildcards can be obtained.
fn engine(ingresses: impl IntoIterator<Item = Observation>) -> Engine<TestLog, TestOutlets> {
    let mut engine = begin(Fold::default(), 1);
    let configured = Observation::Configured(Configured {
        obtains: Some(Obtains {
            by_dns: vec![host("a.example")],
            ..Obtains::default()
        }),
        ..Configured::default()
    });
    engine.turn(batch([configured].into_iter().chain(ingresses)));
    engine
}

fn shown(engine: &Engine<TestLog, TestOutlets>, of: &str) -> Vec<String> {
    let state = engine.fold().state();
    let shown = state.certificates().shown_for(&host(of)).iter();
    shown.map(|key| key.name.to_string()).collect()
}

fn obtained(engine: &Engine<TestLog, TestOutlets>) -> Vec<String> {
    let lacking = engine.fold().state().certificates().lacking().iter();
    lacking.map(ToString::to_string).collect()
}

const ONE: &str = "one.a.example";
const TWO: &str = "two.a.example";
const ALL: &str = "*.a.example";

#[test]
fn a_host_has_that_of_its_wildcard_and_keeps_its_own_until_there_is_one() {
    let mut engine = engine([
        wants("before", &[ONE]),
        managed(&issued(ONE, 9)),
        wants("all", &[ALL, TWO]),
    ]);
    // What has one goes on to have it renewed: nobody knows whether the wildcard can be obtained.
    assert_eq!(obtained(&engine), [ONE, ALL]);
    assert_eq!(shown(&engine, ONE), [ONE]);
    assert!(shown(&engine, TWO).is_empty());
    let is_expected = |engine: &Engine<TestLog, TestOutlets>, of| {
        let state = engine.fold().state();
        state.is_expected(&host(of))
    };
    assert!(!is_expected(&engine, TWO));
    engine.turn(batch([managed(&ordered(ALL))]));
    assert!(is_expected(&engine, TWO) && is_expected(&engine, ALL));
    assert!(!is_expected(&engine, ONE));

    // That which is valid longest is shown.
    engine.turn(batch([managed(&issued(ALL, 12))]));
    assert_eq!(obtained(&engine), [ALL]);
    assert_eq!(shown(&engine, ONE), [ALL]);
    assert_eq!(shown(&engine, TWO), [ALL]);
    // Without the wildcard each is obtained for itself, and shown what there is until then.
    engine.turn(batch([wants("all", &[TWO])]));
    assert_eq!(obtained(&engine), [ONE, TWO]);
    assert_eq!(shown(&engine, TWO), [ALL]);
    let mut revoked = issued(ALL, 12);
    revoked.issued.as_mut().unwrap().revoked = Some(Timestamp(5));
    engine.turn(batch([managed(&revoked)]));
    assert_eq!(shown(&engine, ONE), [ONE]);
}

#[test]
fn no_host_relies_on_a_wildcard_that_cannot_be_had() {
    let mut engine = engine([wants("all", &[ALL, TWO])]);
    assert_eq!(obtained(&engine), [ALL]);
    let new = || Managed::new(vec![host(ALL)]);
    // The CA may have been away.
    engine.turn(batch([managed(&failing(new(), 2, false))]));
    assert_eq!(obtained(&engine), [ALL]);
    engine.turn(batch([managed(&failing(new(), 3, false))]));
    assert_eq!(obtained(&engine), [TWO, ALL]);
    let mut not_proved = failing(new(), 1, false);
    not_proved.trouble.as_mut().unwrap().way = Some(ChallengeType::Dns01);
    engine.turn(batch([managed(&not_proved)]));
    assert_eq!(obtained(&engine), [TWO, ALL]);
    // A renewal has time.
    engine.turn(batch([managed(&failing(issued(ALL, 12), 9, false))]));
    assert_eq!(obtained(&engine), [ALL]);
    engine.turn(batch([managed(&failing(issued(ALL, 12), 9, true))]));
    assert_eq!(obtained(&engine), [TWO, ALL]);
    assert_eq!(shown(&engine, TWO), [ALL]);
}

#[test]
fn a_wildcard_that_is_obtained_no_more_serves_its_hosts_until_they_have_their_own() {
    let mut engine = engine([wants("all", &[ALL]), wants("two", &[TWO])]);
    engine.turn(batch([managed(&issued(ALL, 12))]));
    assert_eq!(obtained(&engine), [ALL]);
    // Another obtains it from now on.
    let tls = Tls {
        hosts: vec![host(ALL)],
        secret: Some("later".into()),
    };
    let elsewhere = Ingress {
        tls: vec![tls],
        certificates_elsewhere: true,
        ..Ingress::default()
    };
    let elsewhere = seen(key(Kind::Ingress, "all"), Spec::Ingress(elsewhere));
    engine.turn(batch([Observation::Changed(elsewhere)]));
    assert_eq!(obtained(&engine), [TWO]);
    assert_eq!(shown(&engine, TWO), [ALL]);
}
