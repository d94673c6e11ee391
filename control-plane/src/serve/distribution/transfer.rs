//! What of a publication a proxy is sent, given what it holds: pure.
//!
//! Apart from the stream, so that many proxies that hold the same share one transfer,
//! encoded once.

mod buckets;

use std::sync::Arc;

use prost::Message as _;
use roadstead_proto::digest::{Digest, bucket_of};
use roadstead_proto::v1::{self, transfer_message::Message};

use crate::metrics::streams::Scope;
use crate::serve::distribution::frame::Frame;
use crate::snapshot::publication::Publication;
use crate::snapshot::{Resource, ResourceId};

pub(super) use buckets::Buckets;

/// What is known of what a proxy holds.
#[derive(Clone, Debug)]
pub(super) enum Base {
    Nothing,
    /// It told a digest: at hello, or because it could not use a transfer.
    Told(Box<Digest>),
    /// It acknowledged this publication.
    Acknowledged(Arc<Publication>),
}

/// The part of a publication that goes into a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// What changed since the publication of this number.
    Since(u64),
    Buckets(Buckets),
}

impl Extent {
    /// What a proxy needs to hold this publication.
    pub(super) fn between(base: &Base, publication: &Publication) -> Self {
        let digest = publication.snapshot().digest();
        let differing = |held| Self::Buckets(digest.differing(held).collect());
        match base {
            Base::Nothing => Self::Buckets(Buckets::all()),
            Base::Told(held) => differing(held),
            Base::Acknowledged(before) if publication.remembers(before.number()) => {
                Self::Since(before.number())
            }
            Base::Acknowledged(before) => differing(before.snapshot().digest()),
        }
    }

    /// How metrics call it.
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::Since(_) => Scope::Delta,
            Self::Buckets(buckets) if buckets.is_all() => Scope::Whole,
            Self::Buckets(_) => Scope::Buckets,
        }
    }

    /// Whether making the transfer takes milliseconds: it looks at every resource, or encodes
    /// many.
    pub(super) fn is_costly(&self, publication: &Publication) -> bool {
        match self {
            Self::Since(number) => {
                let changed = publication.changed_since(*number);
                changed.is_some_and(|changed| changed.len() > MANY)
            }
            Self::Buckets(buckets) => !buckets.is_empty(),
        }
    }
}

/// A transfer, encoded.
#[derive(Debug)]
pub(super) struct Transfer {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Transfer {
    /// Begin, as many chunks as it takes, Commit.
    pub(super) fn new(publication: &Publication, extent: &Extent) -> Self {
        let snapshot = publication.snapshot();
        let version = snapshot.version().to_proto(publication.lineage());
        let mut frames = vec![Frame::of(Message::Begin(v1::Begin {
            version: Some(version.clone()),
            replaced_buckets: match extent {
                Extent::Since(_) => Vec::new(),
                Extent::Buckets(buckets) => buckets.iter().map(u32::from).collect(),
            },
            trace_parent: publication.trace_parent().unwrap_or_default().to_owned(),
        }))];
        let mut chunks = Chunks::default();
        match extent {
            Extent::Since(number) => {
                for id in publication.changed_since(*number).unwrap_or_default() {
                    match snapshot.resources().get(id) {
                        Some(resource) => chunks.change(id, resource, publication.lineage()),
                        None => chunks.remove(id),
                    }
                }
            }
            Extent::Buckets(buckets) => {
                for (id, resource) in snapshot.resources() {
                    if buckets.is_all() || buckets.contains(bucket_of(id.kind, &id.name)) {
                        chunks.change(id, resource, publication.lineage());
                    }
                }
            }
        }
        frames.extend(chunks.finish());
        frames.push(Frame::of(Message::Commit(v1::Commit {
            version: Some(version),
            endpoints_revision: snapshot.endpoints_revision(),
            digest: Some(snapshot.digest().to_proto()),
        })));
        let bytes = frames.iter().map(Frame::len).sum();
        Self { frames, bytes }
    }

    /// The messages, in order.
    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// Bytes of all messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it is one of those of which only few are sent at once.
    pub(super) fn is_large(&self) -> bool {
        self.bytes > CHUNK_BYTES
    }
}

/// Gathers resources into messages of at most 1 MiB.
#[derive(Default)]
struct Chunks {
    full: Vec<Frame>,
    open: v1::Chunk,
    bytes: usize,
}

impl Chunks {
    fn change(&mut self, id: &ResourceId, resource: &Resource, lineage: &str) {
        let resource = resource.to_proto(id, lineage);
        self.make_room(resource.encoded_len());
        self.open.changed.push(resource);
    }

    fn remove(&mut self, id: &ResourceId) {
        let id = id.to_proto();
        self.make_room(id.encoded_len());
        self.open.removed.push(id);
    }

    fn make_room(&mut self, bytes: usize) {
        let bytes = bytes + FIELD_BYTES;
        if self.bytes > 0 && self.bytes + bytes > CHUNK_BYTES {
            self.close();
        }
        self.bytes += bytes;
    }

    fn close(&mut self) {
        let chunk = std::mem::take(&mut self.open);
        self.full.push(Frame::of(Message::Chunk(chunk)));
        self.bytes = 0;
    }

    fn finish(mut self) -> Vec<Frame> {
        if self.bytes > 0 {
            self.close();
        }
        self.full
    }
}

/// gRPC's receivers stop at 4 MiB; and a proxy decodes while the next one comes.
const CHUNK_BYTES: usize = 1 << 20;
/// About a millisecond to encode.
const MANY: usize = 500;
/// A field's tag and length in a message of this size.
const FIELD_BYTES: usize = 5;

#[cfg(test)]
mod tests;
