//! What one proxy is told next, given what it said that it holds.
//!
//! A state machine of two states: idle, and waiting for the answer to a transfer. Apart from the
//! stream that carries it, so that a simulation can delay and break the one, and has the other.

use std::sync::Arc;

use roadstead_proto::digest::Digest;
use roadstead_proto::v1;

use crate::snapshot::Version;
use crate::snapshot::publication::Publication;
use crate::snapshot::transfer::{Base, Extent};

/// The exchange with one proxy, from its hello on.
#[derive(Clone, Debug, Default)]
pub struct Dialogue {
    base: Base,
    /// What the proxy came with, before its first transfer: of which installation, and what.
    held: Option<(Box<str>, Version)>,
    /// The publication that is on its way.
    sent: Option<Arc<Publication>>,
    /// The publication that was acknowledged last.
    acknowledged: Option<Arc<Publication>>,
}

/// What an acknowledgement is of.
#[derive(Clone, Debug)]
pub enum Heard {
    /// The transfer that was on its way.
    Answer(Arc<Publication>),
    /// What was acknowledged before: the faults may be others now.
    Again(Arc<Publication>),
    /// The same, and what the proxy holds is something else: what differs is news to it.
    Differently(Arc<Publication>),
}

/// What a proxy says is not what may come now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfOrder(pub &'static str);

impl Dialogue {
    /// With a proxy that came with this.
    pub fn new(base: Base, held: Option<(Box<str>, Version)>) -> Self {
        Self {
            base,
            held,
            ..Self::default()
        }
    }

    /// Whether the proxy is not known to have this publication.
    ///
    /// One that came with the version that was found in the log waits for the first lists: its
    /// endpoints may be newer than those in the log.
    pub fn is_news(&self, newest: &Publication) -> bool {
        let known = match &self.base {
            Base::Nothing | Base::Told(_) => 0,
            Base::Acknowledged(publication) => publication.number(),
        };
        let held = self.held.as_ref();
        let is_held =
            held.is_some_and(|(lineage, version)| newest.only_restores(lineage, *version));
        newest.is_something() && newest.number() != known && !is_held
    }

    /// What of this publication the proxy needs.
    pub fn extent(&self, publication: &Publication) -> Extent {
        Extent::between(&self.base, publication)
    }

    /// The transfer to this publication begins. Gives back what the proxy came with, if it is the
    /// first.
    pub fn begin(&mut self, publication: &Arc<Publication>) -> Option<(Box<str>, Version)> {
        self.sent = Some(Arc::clone(publication));
        self.held.take()
    }

    /// Whether the answer to a transfer is waited for.
    pub fn is_waiting(&self) -> bool {
        self.sent.is_some()
    }

    /// The proxy acknowledges: what it was sent, or by itself what it was sent before.
    pub fn acknowledge(&mut self, ack: &v1::Ack) -> Result<Heard, OutOfOrder> {
        let answers = |sent: &mut Arc<Publication>| ack.digest.is_none() && is_of(ack, sent);
        if let Some(sent) = self.sent.take_if(answers) {
            self.acknowledged = Some(Arc::clone(&sent));
            self.base = Base::Acknowledged(Arc::clone(&sent));
            return Ok(Heard::Answer(sent));
        }
        let before = self.acknowledged.clone();
        let before = before.ok_or(OutOfOrder("an Ack before the first transfer"))?;
        if !is_of(ack, &before) {
            return Err(OutOfOrder("an Ack of what was not sent last"));
        }
        let Some(digest) = &ack.digest else {
            return Ok(Heard::Again(before));
        };
        let held = Digest::from_proto(digest);
        let held = held.ok_or(OutOfOrder("an Ack's digest has a wrong length"))?;
        if held == *before.snapshot().digest() {
            return Ok(Heard::Again(before));
        }
        self.base = Base::Told(Box::new(held));
        Ok(Heard::Differently(before))
    }

    /// The proxy could not use the transfer, and says what it holds.
    pub fn refuse(&mut self, nack: &v1::Nack) -> Result<(), OutOfOrder> {
        let sent = self.sent.take();
        sent.ok_or(OutOfOrder("a Nack, and no transfer"))?;
        let held = match &nack.digest {
            Some(digest) => Digest::from_proto(digest),
            None => Some(Digest::new()),
        };
        let held = held.ok_or(OutOfOrder("a Nack's digest has a wrong length"))?;
        self.base = Base::Told(Box::new(held));
        Ok(())
    }
}

/// Whether an acknowledgement is one of this publication.
fn is_of(ack: &v1::Ack, publication: &Publication) -> bool {
    let snapshot = publication.snapshot();
    let version = snapshot.version().to_proto(publication.lineage());
    ack.version.as_ref() == Some(&version)
        && ack.endpoints_revision == snapshot.endpoints_revision()
}
