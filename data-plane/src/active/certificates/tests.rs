//! Tests of the choice of certificates: against a slow model, whatever came and went before.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::snapshot::{BundleName, KeyType};

const NAMES: [&str; 4] = ["secret/a/1", "secret/a/2", "secret/b/1", "secret/b/2"];
const HOSTS: [&str; 5] = ["a.example", "b.a.example", "*.example", "*.a.example", "c"];
const ASKED: [&str; 7] = [
    "a.example",
    "b.a.example",
    "c.a.example",
    "x.example",
    "example",
    "c",
    "",
];

fn shown(name: &str, hosts: &[&str], key_type: KeyType) -> Arc<Shown> {
    let bytes = Bytes::copy_from_slice(name.as_bytes());
    let bundle = BundleName::of(&bytes);
    Arc::new(Shown {
        name: name.into(),
        certificate: Arc::new(Certificate {
            bundle,
            hostnames: hosts
                .iter()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            key_type,
        }),
        bundle: Arc::new(Bundle::checked(bundle, bytes).unwrap()),
    })
}

/// Looks at everything, and sorts it by what the rules say.
fn slow<'a>(all: &'a BTreeMap<&str, Arc<Shown>>, asked: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for shown in all.values() {
        for host in &shown.certificate.hostnames {
            if host.matches(asked) {
                let wildcard = matches!(host, HostPattern::OneLabel(_));
                found.push((wildcard, shown.certificate.key_type, &*shown.name));
            }
        }
    }
    found.sort_unstable();
    found.into_iter().map(|(_, _, name)| name).collect()
}

fn key_type() -> impl Strategy<Value = KeyType> {
    prop_oneof![
        Just(KeyType::Rsa),
        Just(KeyType::Ecdsa),
        Just(KeyType::Ed25519)
    ]
}

proptest! {
    #[test]
    fn candidates_are_those_of_a_slow_model_and_older_versions_keep_theirs(
        changes in prop::collection::vec(
            (0..NAMES.len(), prop::option::of((prop::sample::subsequence(&HOSTS[..], 0..=5), key_type()))),
            1..20,
        ),
    ) {
        let mut certificates = Certificates::default();
        let mut all = BTreeMap::new();
        let mut versions = Vec::new();
        for (name, after) in changes {
            let name = NAMES[name];
            let after = after.map(|(hosts, key_type)| shown(name, &hosts, key_type));
            let before = match &after {
                Some(after) => all.insert(name, Arc::clone(after)),
                None => all.remove(name),
            };
            certificates.change(&ShownChange { before, after });
            versions.push((certificates.clone(), all.clone()));
        }
        for (certificates, all) in versions {
            prop_assert_eq!(certificates.len(), all.len());
            prop_assert_eq!(certificates.is_empty(), all.is_empty());
            for asked in ASKED {
                let found: Vec<_> = certificates.candidates(asked).map(|shown| &*shown.name).collect();
                prop_assert_eq!(found, slow(&all, asked), "{}", asked);
            }
        }
    }
}
