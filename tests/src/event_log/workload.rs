//! Records and states that are known from their number alone.
//!
//! Apart, because the process that writes and the process that checks share nothing else.

use std::collections::BTreeMap;

use roadstead_control_plane::{
    event::{Class, Seq},
    event_log::{Change, Entry},
};

use crate::campaign::random::Random;

/// The record with this number: mostly short, now and then longer than a page of the store.
pub fn record(seq: u64) -> Entry {
    let mut random = Random::new(!seq);
    let length = match random.below(100) {
        0 => 20_000 + random.below(60_000),
        1..=9 => 2_000 + random.below(4_000),
        _ => 40 + random.below(700),
    };
    Entry {
        seq: Seq(seq),
        class: class(seq).into(),
        schema: 1,
        bytes: bytes(seq, length),
    }
}

/// The class of that record.
pub fn class(seq: u64) -> Class {
    match Random::new(seq).below(4) {
        0 => Class::Presence,
        1 => Class::Lifecycle,
        _ => Class::Configuration,
    }
}

/// What this record does to the state: it sets one of two hundred keys, or takes it away.
pub fn change(seq: u64) -> Change {
    let mut random = Random::new(seq ^ 0x5eed);
    let length = if random.one_in(20) {
        4_000 + random.below(9_000)
    } else {
        100 + random.below(900)
    };
    let value = (!random.one_in(7)).then(|| bytes(!seq, length));
    (key(seq), value)
}

/// The state after this record.
pub fn state_at(seq: u64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let changes = changes(0, seq).into_iter();
    changes
        .filter_map(|(key, value)| Some((key, value?)))
        .collect()
}

/// What changed in the state after one record and up to another: each key once.
pub fn changes(after: u64, up_to: u64) -> Vec<Change> {
    let last: BTreeMap<_, _> = (after + 1..=up_to).map(|seq| (key(seq), seq)).collect();
    last.into_values().map(change).collect()
}

fn key(seq: u64) -> Vec<u8> {
    let mut random = Random::new(seq ^ 0xc0de);
    format!("namespace-{}/name-{}", random.below(10), random.below(20)).into_bytes()
}

fn bytes(seed: u64, length: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        bytes.extend_from_slice(&random.number().to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}
