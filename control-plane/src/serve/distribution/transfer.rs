//! A transfer, encoded: once for all proxies that need the same.

use crate::metrics::streams::Scope;
use crate::serve::distribution::frame::Frame;
use crate::snapshot::publication::Publication;
use crate::snapshot::transfer::{CHUNK_BYTES, Extent};

/// The messages of a transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    frames: Vec<Frame>,
    bytes: usize,
}

impl Transfer {
    /// This part of a publication.
    pub(super) fn new(publication: &Publication, extent: &Extent) -> Self {
        let mut frames = Vec::new();
        extent.tell(publication, |message| frames.push(Frame::of(message)));
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

/// How metrics call it.
pub(super) fn scope(extent: &Extent) -> Scope {
    match extent {
        Extent::Since(_) => Scope::Delta,
        Extent::Buckets(buckets) if buckets.is_all() => Scope::Whole,
        Extent::Buckets(_) => Scope::Buckets,
    }
}
