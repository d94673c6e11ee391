//! Tests of what is shown while bundles come late.

use bytes::Bytes;
use prost::Message as _;
use roadstead_proto::{digest, v1};

use super::*;
use crate::bundle::Bundle;
use crate::snapshot::{Held, KeyType, Told, Version};

fn bundle(text: &'static str) -> Arc<Bundle> {
    let bytes = Bytes::from_static(text.as_bytes());
    Arc::new(Bundle::checked(BundleName::of(&bytes), bytes).unwrap())
}

fn name(text: &str) -> BundleName {
    BundleName::of(text.as_bytes())
}

fn given(texts: &[&'static str]) -> Given {
    let bundles = texts.iter().map(|text| bundle(text));
    bundles.map(|bundle| (bundle.name(), bundle)).collect()
}

/// The certificate of this name is told by this bundle, or is gone.
fn touched(resource: &str, text: Option<&str>) -> Touched {
    let form = |text| {
        Form::Certificate(Certificate {
            bundle: name(text),
            key_type: KeyType::Ecdsa,
        })
    };
    Touched {
        key: Key::new(ResourceType::Certificate.into(), resource),
        before: text.is_none().then(|| form("before")),
        after: text.map(form),
    }
}

/// What is shown by, before and after.
fn seen(changes: &[ShownChange]) -> Vec<(Option<BundleName>, Option<BundleName>)> {
    let bundle = |shown: &Option<Arc<Shown>>| shown.as_ref().map(|shown| shown.bundle.name());
    changes
        .iter()
        .map(|change| (bundle(&change.before), bundle(&change.after)))
        .collect()
}

#[test]
fn the_certificate_before_is_shown_until_the_next_ones_bundle_has_come() {
    let mut showing = Showing::default();
    let none = Given::new();
    let change = |text| [touched("secret/a/b", text)];
    let changes = showing.follow(&change(Some("one")), &given(&["one", "other"]));
    assert_eq!(seen(&changes.certificates), [(None, Some(name("one")))]);
    assert!(showing.missing().is_empty());

    assert!(showing.follow(&change(Some("two")), &none).is_empty());
    assert_eq!(showing.missing(), [name("two")]);
    let faults: Vec<_> = showing.faults().collect();
    assert_eq!(faults.len(), 1);
    assert_eq!(&*faults[0].0.name, "secret/a/b");
    assert_eq!(faults[0].1.reason, Reason::SecretNotFetched);
    assert!(showing.keys.holds(name("one")));

    assert!(showing.complete(&given(&["three"])).is_empty());
    let changes = showing.complete(&given(&["two"]));
    assert_eq!(
        seen(&changes.certificates),
        [(Some(name("one")), Some(name("two")))]
    );
    assert_eq!(showing.faults().count(), 0);
    assert!(showing.missing().is_empty());
    // Nobody uses it any more.
    assert!(!showing.keys.holds(name("one")));

    let changes = showing.follow(&change(None), &none);
    assert_eq!(seen(&changes.certificates), [(Some(name("two")), None)]);
    assert!(!showing.keys.holds(name("two")));
}

#[test]
fn a_certificate_that_goes_while_its_bundle_is_missing_is_missed_no_more() {
    let mut showing = Showing::default();
    let none = Given::new();
    assert!(
        showing
            .follow(&[touched("secret/a/b", Some("one"))], &none)
            .is_empty()
    );
    assert!(
        showing
            .follow(&[touched("secret/a/b", None)], &none)
            .is_empty()
    );
    assert_eq!(showing.faults().count(), 0);
    assert!(showing.complete(&given(&["one"])).is_empty());
}

#[test]
fn certificates_of_one_bundle_share_it() {
    let mut showing = Showing::default();
    let told = ["secret/a/1", "secret/a/2"].map(|name| touched(name, Some("one")));
    assert!(showing.follow(&told, &Given::new()).is_empty());
    assert_eq!(showing.missing(), [name("one")]);
    assert_eq!(showing.complete(&given(&["one"])).certificates.len(), 2);
    showing.follow(&[touched("secret/a/1", None)], &Given::new());
    assert!(showing.keys.holds(name("one")));
    showing.follow(&[touched("secret/a/2", None)], &Given::new());
    assert!(!showing.keys.holds(name("one")));
}

#[test]
fn tickets_are_made_by_those_of_the_secrets_that_have_come_in_the_order_that_was_told() {
    let mut showing = Showing::default();
    let form = |texts: &[&str]| {
        let names: Vec<_> = texts.iter().map(|text| name(text)).collect();
        Form::TicketSecrets(names.into())
    };
    let change = |before: Option<&[&str]>, after: Option<&[&str]>| {
        [Touched {
            key: Key::new(ResourceType::TicketSecrets.into(), "tickets"),
            before: before.map(form),
            after: after.map(form),
        }]
    };
    let names = |changes: &ShownChanges| -> Option<Vec<BundleName>> {
        let secrets = changes.ticket_secrets.as_ref()?;
        Some(secrets.iter().map(|bundle| bundle.name()).collect())
    };
    let told = change(None, Some(&["two", "one"]));
    let changes = showing.follow(&told, &given(&["one"]));
    assert_eq!(names(&changes), Some(vec![name("one")]));
    assert_eq!(showing.missing(), [name("two")]);
    assert_eq!(showing.faults().count(), 0);
    let changes = showing.complete(&given(&["two"]));
    assert_eq!(names(&changes), Some(vec![name("two"), name("one")]));
    assert!(showing.missing().is_empty());

    let told = change(Some(&["two", "one"]), Some(&["two"]));
    let changes = showing.follow(&told, &Given::new());
    assert_eq!(names(&changes), Some(vec![name("two")]));
    assert!(showing.keys.holds(name("two")) && !showing.keys.holds(name("one")));
    let changes = showing.follow(&change(Some(&["two"]), None), &Given::new());
    assert_eq!(names(&changes), Some(vec![]));
    assert!(!showing.keys.holds(name("two")));
}

#[test]
fn only_what_a_transfer_needs_and_is_not_held_is_asked_for() {
    let mut showing = Showing::default();
    showing.follow(&[touched("secret/a/b", Some("one"))], &given(&["one"]));
    let told = |resource, body: Vec<u8>| Told {
        key: Key::new(ResourceType::Certificate.into(), resource),
        hash: digest::resource_hash(&body, []),
        body: body.into(),
        requires: [].into(),
    };
    let certificate = |text| {
        let certificate = v1::Certificate {
            source: None,
            bundle: name(text).as_bytes().to_vec(),
            key_type: v1::KeyType::Rsa.into(),
        };
        certificate.encode_to_vec()
    };
    let transfer = Transfer {
        version: Version {
            lineage: "l".into(),
            epoch: 1,
            seq: 1,
        },
        endpoints_revision: 0,
        digest: Held::default().digest().clone(),
        replaced: [].into(),
        changed: vec![
            told("1", certificate("one")),
            told("2", certificate("two")),
            told("3", certificate("two")),
            told("4", b"no certificate".to_vec()),
        ],
        removed: vec![],
        trace_parent: None,
    };
    assert_eq!(showing.needed_by(&transfer), [name("two")]);
}
