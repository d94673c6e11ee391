//! The laws of what is held, against a naive model.

use std::collections::BTreeMap;

use proptest::prelude::*;
use prost::Message;
use roadstead_proto::v1;

use super::*;
use crate::snapshot::Reason;

/// A resource in few bits: which one, and in what shape.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seed {
    name: u8,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Good(u8),
    Invalid(u8),
    WrongHash(u8),
    Beyond(u8),
}

fn key(name: u8) -> Key {
    Key::new(v1::ResourceType::Route.into(), &format!("ingress/a/{name}"))
}

fn told(seed: Seed) -> Told {
    let (hostname, variant) = match seed.shape {
        Shape::Good(v) | Shape::WrongHash(v) | Shape::Beyond(v) => (format!("h{v}.example"), v),
        Shape::Invalid(v) => (format!("h{v}..example"), v),
    };
    let rule = v1::Rule {
        id: format!("spec.rules[{variant}]"),
        hostname,
        path: Some(v1::PathMatch {
            kind: v1::path_match::Kind::Exact.into(),
            value: "/".to_owned(),
        }),
        backends: vec![v1::Backend::default()],
        https_port: 0,
        fallback: false,
    };
    let route = v1::Route {
        rules: vec![rule],
        ..v1::Route::default()
    };
    let body = route.encode_to_vec();
    let requires: &[&str] = match seed.shape {
        Shape::Beyond(_) => &["auth"],
        Shape::Good(_) | Shape::Invalid(_) | Shape::WrongHash(_) => &[],
    };
    let mut hash = digest::resource_hash(&body, requires.iter().copied());
    if let Shape::WrongHash(_) = seed.shape {
        hash[15] ^= 1;
    }
    Told {
        key: key(seed.name),
        hash,
        body: body.into(),
        requires: requires.iter().map(|&name| name.to_owned()).collect(),
    }
}

fn good_form(v: u8, name: u8) -> Form {
    let told = told(Seed {
        name,
        shape: Shape::Good(v),
    });
    match Decoded::from_told(&told) {
        Decoded::Usable(form) => form,
        Decoded::Faulty { fault, .. } => panic!("{fault:?}"),
    }
}

/// What ought to be held, told in the simplest way.
#[derive(Clone, Debug, Default)]
struct Model {
    told: BTreeMap<u8, Shape>,
    good: BTreeMap<u8, u8>,
}

impl Model {
    fn change(&mut self, seed: Seed) {
        self.told.insert(seed.name, seed.shape);
        if let Shape::Good(v) = seed.shape {
            self.good.insert(seed.name, v);
        }
    }

    fn remove(&mut self, name: u8) {
        self.told.remove(&name);
        self.good.remove(&name);
    }

    fn digest(&self) -> Digest {
        let mut digest = Digest::new();
        for (&name, &shape) in &self.told {
            let Told { key, hash, .. } = told(Seed { name, shape });
            digest.insert(key.kind, &key.name, &hash);
        }
        digest
    }

    fn seeds(&self) -> impl Iterator<Item = Seed> {
        self.told.iter().map(|(&name, &shape)| Seed { name, shape })
    }

    fn check(&self, held: &Held) {
        assert_eq!(held.digest(), &self.digest());
        assert_eq!(held.len(), self.told.len());
        for (&name, &shape) in &self.told {
            let form = held.form(&key(name));
            match (self.good.get(&name), shape) {
                (Some(&v), _) => assert_eq!(form, Some(&good_form(v, name))),
                (None, Shape::Beyond(_)) => match form {
                    Some(Form::Route(route)) => assert!(route.rules[0].backends.is_empty()),
                    other => panic!("not closed: {other:?}"),
                },
                (None, Shape::Good(_) | Shape::Invalid(_) | Shape::WrongHash(_)) => {}
            }
            let reason = held.faults().get(&key(name)).map(|fault| fault.reason);
            let expected = match shape {
                Shape::Good(_) => None,
                Shape::Invalid(_) => Some(Reason::InvalidField),
                Shape::WrongHash(_) => Some(Reason::HashMismatch),
                Shape::Beyond(_) => Some(Reason::MissingCapability),
            };
            assert_eq!(reason, expected);
        }
    }
}

fn version(seq: u64) -> Version {
    Version {
        lineage: "l".into(),
        epoch: 1,
        seq,
    }
}

fn transfer(seq: u64, changed: Vec<Told>, removed: Vec<Key>, digest: Digest) -> Transfer {
    Transfer {
        version: version(seq),
        endpoints_revision: seq,
        digest,
        replaced: HashSet::new(),
        changed,
        removed,
        trace_parent: None,
    }
}

/// A delta of the seeds and removals to what the model holds.
fn delta(model: &mut Model, seq: u64, changed: &[Seed], removed: &[u8]) -> Transfer {
    let mut last = BTreeMap::new();
    for &seed in changed {
        last.insert(seed.name, seed);
    }
    let removed: Vec<_> = removed.iter().filter(|r| !last.contains_key(*r)).collect();
    for &name in &removed {
        model.remove(*name);
    }
    for &seed in last.values() {
        model.change(seed);
    }
    transfer(
        seq,
        last.into_values().map(told).collect(),
        removed.into_iter().map(|&name| key(name)).collect(),
        model.digest(),
    )
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        4 => (0..4u8).prop_map(Shape::Good),
        1 => (0..4u8).prop_map(Shape::Invalid),
        1 => (0..4u8).prop_map(Shape::WrongHash),
        1 => (0..4u8).prop_map(Shape::Beyond),
    ]
}

fn seeds() -> impl Strategy<Value = Vec<Seed>> {
    prop::collection::vec(
        (0..8u8, shape()).prop_map(|(name, shape)| Seed { name, shape }),
        0..6,
    )
}

fn deltas() -> impl Strategy<Value = Vec<(Vec<Seed>, Vec<u8>)>> {
    prop::collection::vec((seeds(), prop::collection::vec(0..8u8, 0..3)), 0..8)
}

fn forms(held: &Held) -> BTreeMap<Key, Form> {
    let forms = held.entries.iter().map(|(key, entry)| (key, &entry.form));
    forms
        .filter_map(|(key, form)| Some((key.clone(), form.get()?.clone())))
        .collect()
}

proptest! {
    #[test]
    fn what_is_held_is_what_was_told_and_what_is_used_is_the_last_good_form(deltas in deltas()) {
        let (mut held, mut model) = (Held::default(), Model::default());
        for (seq, (changed, removed)) in (1..).zip(&deltas) {
            let transfer = delta(&mut model, seq, changed, removed);
            held.apply(transfer).unwrap();
            model.check(&held);
        }
    }

    #[test]
    fn what_is_touched_is_the_difference(deltas in deltas()) {
        let (mut held, mut model) = (Held::default(), Model::default());
        let mut used = BTreeMap::new();
        for (seq, (changed, removed)) in (1..).zip(&deltas) {
            let applied = held.apply(delta(&mut model, seq, changed, removed)).unwrap();
            for Touched { key, before, after } in applied.touched {
                prop_assert_ne!(&before, &after);
                prop_assert_eq!(used.get(&key), before.as_ref());
                match after {
                    Some(form) => used.insert(key, form),
                    None => used.remove(&key),
                };
            }
            prop_assert_eq!(&used, &forms(&held));
        }
    }

    #[test]
    fn deltas_come_to_the_same_as_the_whole(deltas in deltas()) {
        let (mut held, mut model) = (Held::default(), Model::default());
        for (seq, (changed, removed)) in (1..).zip(&deltas) {
            let good: Vec<_> = changed
                .iter()
                .filter(|seed| matches!(seed.shape, Shape::Good(_)))
                .copied()
                .collect();
            held.apply(delta(&mut model, seq, &good, removed)).unwrap();
        }
        let mut whole = Held::default();
        let all = model.seeds().map(told).collect();
        whole.apply(transfer(1, all, vec![], model.digest())).unwrap();
        prop_assert_eq!(forms(&held), forms(&whole));
        prop_assert_eq!(held.digest(), whole.digest());
    }

    #[test]
    fn a_wrong_digest_changes_nothing(first in seeds(), second in seeds(), removed in 0..8u8) {
        let (mut held, mut model) = (Held::default(), Model::default());
        held.apply(delta(&mut model, 1, &first, &[])).unwrap();
        let before = model.clone();
        let mut torn = delta(&mut model, 2, &second, &[removed]);
        torn.digest.insert(1, "never sent", &[1; 16]);
        prop_assert_eq!(held.apply(torn).unwrap_err(), Refusal::DigestMismatch);
        before.check(&held);
        prop_assert_eq!(held.version(), Some(&version(1)));
    }

    #[test]
    fn replacing_the_buckets_that_differ_comes_to_the_same_as_the_whole(
        ours in seeds(), theirs in seeds(),
    ) {
        let (mut held, mut model) = (Held::default(), Model::default());
        held.apply(delta(&mut model, 1, &ours, &[])).unwrap();
        let mut wanted = Model::default();
        for &seed in &theirs {
            wanted.change(seed);
        }
        let replaced: HashSet<u8> = held.digest().differing(&wanted.digest()).collect();
        let bucket = |told: &Told| digest::bucket_of(told.key.kind, &told.key.name);
        let changed = wanted.seeds().map(told).filter(|t| replaced.contains(&bucket(t)));
        let mut repair = transfer(2, changed.collect(), vec![], wanted.digest());
        repair.replaced = replaced;
        held.apply(repair).unwrap();
        prop_assert_eq!(held.digest(), &wanted.digest());
        prop_assert_eq!(held.len(), wanted.told.len());
    }

    #[test]
    fn what_is_restored_is_what_was_held(deltas in deltas()) {
        let (mut held, mut model) = (Held::default(), Model::default());
        for (seq, (changed, removed)) in (1..).zip(&deltas) {
            held.apply(delta(&mut model, seq, changed, removed)).unwrap();
        }
        let good = model.good.iter().map(|(&name, &v)| {
            told(Seed { name, shape: Shape::Good(v) })
        });
        let unusable = model.seeds().filter(|seed| !matches!(seed.shape, Shape::Good(_)));
        let (restored, touched) = Held::restore(Restored {
            version: version(9),
            endpoints_revision: 9,
            good: good.collect(),
            unusable: unusable.map(told).collect(),
        });
        model.check(&restored);
        prop_assert_eq!(touched.len(), forms(&restored).len());
    }
}

#[test]
fn a_closed_route_gives_its_place_up_when_its_claims_change() {
    let (mut held, mut model) = (Held::default(), Model::default());
    for (seq, v) in [(1, 1), (2, 2)] {
        let shape = Shape::Beyond(v);
        let transfer = delta(&mut model, seq, &[Seed { name: 0, shape }], &[]);
        held.apply(transfer).unwrap();
    }
    let Some(Form::Route(route)) = held.form(&key(0)) else {
        panic!("not closed");
    };
    assert_eq!(route.rules[0].host.to_string(), "h2.example");
}

#[test]
fn a_count_finds_what_the_digest_has_lost_sight_of() {
    let mut held = Held::default();
    let changed: Vec<Told> = (0..4)
        .map(|name| Seed {
            name,
            shape: Shape::Good(name),
        })
        .map(told)
        .collect();
    let mut whole = Transfer {
        version: Version {
            lineage: "l".into(),
            epoch: 1,
            seq: 1,
        },
        endpoints_revision: 0,
        digest: Digest::new(),
        replaced: HashSet::new(),
        changed: changed.clone(),
        removed: Vec::new(),
        trace_parent: None,
    };
    whole.digest = held.digest_with(&whole);
    held.apply(whole.clone()).unwrap();
    assert!(held.recount());
    let right = held.digest().clone();

    held.entries.get_mut(&key(1)).unwrap().hash[0] ^= 1;
    held.entries.remove(&key(2));
    assert_eq!(
        *held.digest(),
        right,
        "nothing is noticed before it is counted"
    );
    assert!(!held.recount());
    assert!(held.recount(), "it is what is held now");
    // What differs is repaired by its buckets.
    let replaced: HashSet<u8> = right.differing(held.digest()).collect();
    let bucket = |told: &Told| digest::bucket_of(told.key.kind, &told.key.name);
    let repair = Transfer {
        changed: changed
            .into_iter()
            .filter(|told| replaced.contains(&bucket(told)))
            .collect(),
        replaced,
        ..whole
    };
    held.apply(repair).unwrap();
    assert!(held.recount());
    assert_eq!(*held.digest(), right);
}
