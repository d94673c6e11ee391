//! What is to be written: changes that merge, so that a disk that cannot keep up costs no
//! more memory than one form of each resource.
//!
//! Apart from the file, because merging happens while the file is busy.

use std::collections::HashMap;

use prost::Message;
use roadstead_proto::v1;

use super::{
    Slot, Span,
    frame::{self, Kind},
};
use crate::snapshot::{Applied, Key, Told, Usable, Version};

/// The changes from one version to a later one.
#[derive(Debug)]
pub struct Batch {
    changes: HashMap<Key, Change>,
    mark: Mark,
}

/// The version that is whole once all changes are there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub version: Version,
    pub endpoints_revision: u64,
    /// Of the digest, so that a journal is never taken for what it is not.
    pub fingerprint: String,
}

/// What becomes of one resource, in this order.
#[derive(Debug, Default)]
struct Change {
    /// All forms go.
    resets: bool,
    good: Option<Told>,
    unusable: Option<Told>,
}

impl Batch {
    pub fn new(applied: Applied, mark: Mark) -> Self {
        let removed = applied.removed.into_iter().map(|key| {
            let change = Change {
                resets: true,
                ..Change::default()
            };
            (key, change)
        });
        let told = applied.told.into_iter().map(|(told, usable)| {
            let key = told.key.clone();
            let change = match usable {
                Usable::Yes => Change {
                    good: Some(told),
                    ..Change::default()
                },
                Usable::No => Change {
                    unusable: Some(told),
                    ..Change::default()
                },
            };
            (key, change)
        });
        Self {
            changes: removed.chain(told).collect(),
            mark,
        }
    }

    /// What comes of this batch and then the next one.
    pub fn merge(&mut self, next: Self) {
        self.mark = next.mark;
        next.changes.into_iter().for_each(|(key, change)| {
            self.changes.entry(key).or_default().merge(change);
        });
    }

    pub(super) fn encode(&self) -> Encoded {
        let mut bytes = Vec::new();
        let mut slots = Vec::with_capacity(self.changes.len());
        self.changes.iter().for_each(|(key, change)| {
            slots.push((key.clone(), change.encode(key, &mut bytes)));
        });
        let start = bytes.len();
        self.mark.encode(&mut bytes);
        let mark = bytes.get(start..).unwrap_or_default().to_vec();
        Encoded { bytes, slots, mark }
    }
}

impl Mark {
    fn encode(&self, out: &mut Vec<u8>) {
        let commit = v1::Commit {
            version: Some(self.version.to_proto()),
            endpoints_revision: self.endpoints_revision,
            digest: None,
        };
        frame::put(out, Kind::Mark, |out| {
            out.extend_from_slice(self.fingerprint.as_bytes());
            out.extend_from_slice(&commit.encode_to_vec());
        });
    }

    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let (fingerprint, commit) = payload.split_at_checked(FINGERPRINT)?;
        let commit = v1::Commit::decode(commit).ok()?;
        Some(Self {
            version: Version::from(commit.version.as_ref()?),
            endpoints_revision: commit.endpoints_revision,
            fingerprint: std::str::from_utf8(fingerprint).ok()?.to_owned(),
        })
    }
}

impl Change {
    fn merge(&mut self, next: Self) {
        if next.resets {
            *self = next;
        } else if next.good.is_some() {
            self.good = next.good;
            self.unusable = next.unusable;
        } else if next.unusable.is_some() {
            self.unusable = next.unusable;
        }
    }

    fn encode(&self, key: &Key, out: &mut Vec<u8>) -> SlotChange {
        if self.resets {
            frame::put(out, Kind::Removed, |out| {
                out.extend_from_slice(&key.to_proto().encode_to_vec());
            });
        }
        let mut put = |kind, told: &Option<Told>| {
            told.as_ref().map(|told| {
                let start = out.len();
                frame::put(out, kind, |out| {
                    out.extend_from_slice(&told.to_proto().encode_to_vec());
                });
                Span {
                    start: start as u64,
                    len: (out.len() - start) as u32,
                }
            })
        };
        SlotChange {
            resets: self.resets,
            slot: Slot {
                good: put(Kind::Good, &self.good),
                unusable: put(Kind::Unusable, &self.unusable),
            },
        }
    }
}

/// A batch as bytes, with the places of its frames from the first byte.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) slots: Vec<(Key, SlotChange)>,
    /// The frame of the mark, which ends the bytes.
    pub(super) mark: Vec<u8>,
}

/// What a change does to the places of a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct SlotChange {
    pub(super) resets: bool,
    pub(super) slot: Slot,
}

impl SlotChange {
    /// With the places moved to where the bytes were written.
    pub(super) fn at(self, offset: u64) -> Self {
        let moved = |span: Option<Span>| {
            span.map(|Span { start, len }| Span {
                start: start + offset,
                len,
            })
        };
        Self {
            resets: self.resets,
            slot: Slot {
                good: moved(self.slot.good),
                unusable: moved(self.slot.unusable),
            },
        }
    }

    pub(super) fn applied_to(self, old: Slot) -> Slot {
        match self.slot.good {
            None if !self.resets => Slot {
                good: old.good,
                unusable: self.slot.unusable,
            },
            _ => self.slot,
        }
    }
}

/// Length of a digest's fingerprint.
const FINGERPRINT: usize = 32;
