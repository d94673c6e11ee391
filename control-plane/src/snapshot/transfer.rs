//! What of a publication a proxy is sent, given what it holds.
//!
//! Apart from the stream, so that many proxies that hold the same share one transfer,
//! encoded once.

mod buckets;

use std::sync::Arc;

use prost::Message as _;
use roadstead_proto::digest::{Digest, bucket_of};
use roadstead_proto::v1::{self, transfer_message::Message};

use crate::snapshot::publication::Publication;
use crate::snapshot::{Resource, ResourceId};

pub use buckets::Buckets;

/// What is known of what a proxy holds.
#[derive(Clone, Debug, Default)]
pub enum Base {
    #[default]
    Nothing,
    /// It told a digest: at hello, or because it could not use a transfer.
    Told(Box<Digest>),
    /// It acknowledged this publication.
    Acknowledged(Arc<Publication>),
}

/// The part of a publication that goes into a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What changed since the publication of this number.
    Since(u64),
    Buckets(Buckets),
}

impl Extent {
    /// What a proxy needs to hold this publication.
    pub fn between(base: &Base, publication: &Publication) -> Self {
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

    /// Whether making the transfer takes milliseconds: it looks at every resource, or encodes
    /// many.
    pub fn is_costly(&self, publication: &Publication) -> bool {
        match self {
            Self::Since(number) => {
                let changed = publication.changed_since(*number);
                changed.is_some_and(|changed| changed.len() > MANY)
            }
            Self::Buckets(buckets) => !buckets.is_empty(),
        }
    }

    /// Tells the messages of the transfer, one by one: Begin, as many chunks as it takes, Commit.
    pub fn tell(&self, publication: &Publication, mut tell: impl FnMut(Message)) {
        let snapshot = publication.snapshot();
        let version = snapshot.version().to_proto(publication.lineage());
        tell(Message::Begin(v1::Begin {
            version: Some(version.clone()),
            replaced_buckets: match self {
                Self::Since(_) => Vec::new(),
                Self::Buckets(buckets) => buckets.iter().map(u32::from).collect(),
            },
            trace_parent: publication.trace_parent().unwrap_or_default().to_owned(),
        }));
        let mut chunks = Chunks::new(&mut tell);
        match self {
            Self::Since(number) => {
                for id in publication.changed_since(*number).unwrap_or_default() {
                    match snapshot.resources().get(id) {
                        Some(resource) => chunks.change(id, resource, publication.lineage()),
                        None => chunks.remove(id),
                    }
                }
            }
            Self::Buckets(buckets) => {
                for (id, resource) in snapshot.resources() {
                    if buckets.is_all() || buckets.contains(bucket_of(id.kind, &id.name)) {
                        chunks.change(id, resource, publication.lineage());
                    }
                }
            }
        }
        chunks.finish();
        tell(Message::Commit(v1::Commit {
            version: Some(version),
            endpoints_revision: snapshot.endpoints_revision(),
            digest: Some(snapshot.digest().to_proto()),
        }));
    }
}

/// Gathers resources into messages of at most 1 MiB.
struct Chunks<'a, T> {
    tell: &'a mut T,
    open: v1::Chunk,
    bytes: usize,
}

impl<'a, T: FnMut(Message)> Chunks<'a, T> {
    fn new(tell: &'a mut T) -> Self {
        Self {
            tell,
            open: v1::Chunk::default(),
            bytes: 0,
        }
    }

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
        (self.tell)(Message::Chunk(chunk));
        self.bytes = 0;
    }

    fn finish(mut self) {
        if self.bytes > 0 {
            self.close();
        }
    }
}

/// gRPC's receivers stop at 4 MiB; and a proxy decodes while the next one comes.
pub const CHUNK_BYTES: usize = 1 << 20;
/// About a millisecond to encode.
const MANY: usize = 500;
/// A field's tag and length in a message of this size.
const FIELD_BYTES: usize = 5;

#[cfg(test)]
mod tests;
