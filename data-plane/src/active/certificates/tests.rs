//! Tests of the choice of certificates: against a slow model, whatever came and went before.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::snapshot::BundleName;

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

fn shown(name: &str, key_type: KeyType) -> Arc<Shown> {
    let bytes = Bytes::copy_from_slice(name.as_bytes());
    let bundle = BundleName::of(&bytes);
    Arc::new(Shown {
        name: name.into(),
        certificate: Certificate { bundle, key_type },
        bundle: Arc::new(Bundle::checked(bundle, bytes).unwrap()),
    })
}

/// What there is, in no order that helps.
#[derive(Clone, Default)]
struct Slow {
    shown: BTreeMap<&'static str, KeyType>,
    /// With what is expected beside.
    named: BTreeMap<&'static str, (Vec<&'static str>, bool)>,
}

impl Slow {
    /// Looks at everything, and sorts it by what the rules say.
    fn candidates(&self, asked: &str) -> Vec<&'static str> {
        let of_itself = self.named.contains_key(asked);
        let mut found = Vec::new();
        for (host, (names, _)) in &self.named {
            let host = HostPattern::parse(host).unwrap();
            let wildcard = matches!(host, HostPattern::OneLabel(_));
            for name in names {
                if let Some(key_type) = self.shown.get(name)
                    && host.matches(asked)
                    && !(wildcard && of_itself)
                {
                    found.push((*key_type, *name));
                }
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, name)| name).collect()
    }

    fn awaits(&self, asked: &str) -> bool {
        let named = self.named.iter().filter(|(host, _)| {
            let pattern = HostPattern::parse(host).unwrap();
            **host == asked || (pattern.matches(asked) && !self.named.contains_key(asked))
        });
        let mut named = named.map(|(_, (names, expected))| *expected || !names.is_empty());
        let comes = named.any(|comes| comes);
        comes && self.candidates(asked).is_empty()
    }
}

#[derive(Clone, Debug)]
enum Change {
    Show(usize, Option<KeyType>),
    Name(usize, Option<(Vec<&'static str>, bool)>),
}

fn change() -> impl Strategy<Value = Change> {
    let key_type = prop_oneof![
        Just(KeyType::Rsa),
        Just(KeyType::Ecdsa),
        Just(KeyType::Ed25519)
    ];
    let names = prop::sample::subsequence(&NAMES[..], 0..=4).prop_shuffle();
    prop_oneof![
        (0..NAMES.len(), prop::option::of(key_type)).prop_map(|(n, k)| Change::Show(n, k)),
        (0..HOSTS.len(), prop::option::of((names, any::<bool>())))
            .prop_map(|(h, n)| Change::Name(h, n)),
    ]
}

proptest! {
    #[test]
    fn candidates_are_those_of_a_slow_model_and_older_versions_keep_theirs(
        changes in prop::collection::vec(change(), 1..30),
    ) {
        let mut certificates = Certificates::default();
        let mut slow = Slow::default();
        let mut versions = Vec::new();
        for change in changes {
            match change {
                Change::Show(name, after) => {
                    let name = NAMES[name];
                    let before = match after {
                        Some(after) => slow.shown.insert(name, after),
                        None => slow.shown.remove(name),
                    };
                    let shown = |key_type: Option<KeyType>| Some(shown(name, key_type?));
                    certificates.change(&ShownChange {
                        before: shown(before),
                        after: shown(after),
                    });
                }
                Change::Name(host, names) => {
                    let host = HOSTS[host];
                    let pattern = HostPattern::parse(host).unwrap();
                    match names {
                        Some((names, expected)) => {
                            let told: Vec<_> = names.iter().map(|&name| name.into()).collect();
                            certificates.name(&Arc::new(ServerName {
                                host: pattern,
                                certificates: told.into(),
                                expected,
                            }));
                            slow.named.insert(host, (names, expected));
                        }
                        None => {
                            certificates.forget(&pattern);
                            slow.named.remove(host);
                        }
                    }
                }
            }
            versions.push((certificates.clone(), slow.clone()));
        }
        for (certificates, slow) in versions {
            prop_assert_eq!(certificates.len(), slow.shown.len());
            prop_assert_eq!(certificates.is_empty(), slow.shown.is_empty());
            for asked in ASKED {
                let found = certificates.candidates(asked).map(|shown| &*shown.name);
                let expected = slow.candidates(asked);
                prop_assert_eq!(found.collect::<Vec<_>>(), expected.clone(), "{}", asked);
                prop_assert!(!certificates.has(asked), "none of these can be used");
                prop_assert_eq!(certificates.awaits(asked), slow.awaits(asked), "{}", asked);
            }
        }
    }
}
