//! Proxies, and the streams by which replicas tell them what to serve.
//!
//! Real are what a replica decides to send and what a proxy makes of it; simulated is the
//! connection, on which everything comes in order, as late as it likes, until it breaks.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use prost::Message as _;
use roadstead_control_plane::event::{Epoch, Seq};
use roadstead_control_plane::presence::{Connected, Report, StreamId};
use roadstead_control_plane::snapshot::dialogue::{Dialogue, Heard};
use roadstead_control_plane::snapshot::publication::Publication;
use roadstead_control_plane::snapshot::transfer::Base;
use roadstead_control_plane::snapshot::{self, ResourceId};
use roadstead_data_plane::snapshot::{
    Assembly, Form, Held, Key, Limits, Refusal, Restored, Step, Told, Version,
};
use roadstead_proto::digest::Digest;
use roadstead_proto::v1::{self, ResourceType, proxy_message, transfer_message};

use crate::objects::STAYING_ROUTE;
use crate::world::Plant;

/// One proxy.
pub(crate) struct Proxy {
    pub(crate) name: Arc<str>,
    held: Held,
    /// What it holds, as it was told: on its disk.
    told: BTreeMap<Key, Told>,
    /// Its memory lost something, and that was not repaired yet.
    rotten: bool,
    /// It serves what nobody touches.
    serves_staying: bool,
    pub(crate) stream: Option<Stream>,
    /// How many versions it took.
    pub(crate) versions: usize,
    plant: Option<Plant>,
}

/// A stream from a replica, with both its ends.
pub(crate) struct Stream {
    pub(crate) id: StreamId,
    /// Which replica it comes from, and of which term that was as it began.
    pub(crate) side: usize,
    pub(crate) term: Option<Epoch>,
    dialogue: Dialogue,
    assembly: Assembly,
    /// The proxy answered a transfer of it.
    answered: bool,
    down: VecDeque<Vec<u8>>,
    up: VecDeque<proxy_message::Message>,
}

impl Proxy {
    pub(crate) fn new(name: String, plant: Option<Plant>) -> Self {
        Self {
            name: name.into(),
            held: Held::default(),
            told: BTreeMap::new(),
            rotten: false,
            serves_staying: false,
            stream: None,
            versions: 0,
            plant,
        }
    }

    /// Opens a stream, and says what it holds. What the replica's engine hears of it is given
    /// back.
    pub(crate) fn connect(&mut self, id: StreamId, side: usize, term: Option<Epoch>) -> Report {
        let held = self.held.version();
        let held = held.map(|held| (Box::from(&*held.lineage), version(held)));
        let digest = self.held.digest().to_proto();
        let base = match &held {
            None => Base::Nothing,
            Some(_) => Base::Told(Box::new(Digest::from_proto(&digest).unwrap())),
        };
        self.stream = Some(Stream {
            id,
            side,
            term,
            dialogue: Dialogue::new(base, held.clone()),
            assembly: Assembly::new(Limits::default()),
            answered: false,
            down: VecDeque::new(),
            up: VecDeque::new(),
        });
        Report::Connected(Connected {
            proxy: Arc::clone(&self.name),
            stream: id,
            boot_id: "b".into(),
            peer: "test".into(),
            binary_version: "test".into(),
            capabilities: Vec::new(),
            held: held.map(|(_, version)| version),
        })
    }

    /// The replica sends what is new in this publication, if the last transfer was answered.
    pub(crate) fn send(&mut self, newest: &Arc<Publication>) {
        let Some(stream) = &mut self.stream else {
            return;
        };
        if stream.dialogue.is_waiting() || !stream.dialogue.is_news(newest) {
            return;
        }
        let extent = stream.dialogue.extent(newest);
        stream.dialogue.begin(newest);
        let (plant, down) = (self.plant, &mut stream.down);
        extent.tell(newest, |mut message| {
            if let transfer_message::Message::Chunk(chunk) = &mut message
                && plant == Some(Plant::LostRemoval)
            {
                chunk.removed.clear();
            }
            let message = Some(message);
            down.push_back(v1::TransferMessage { message }.encode_to_vec());
        });
    }

    /// The proxy takes the next message.
    pub(crate) fn receive(&mut self) -> Result<(), String> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let Some(message) = stream.down.pop_front() else {
            return Ok(());
        };
        let message = v1::TransferMessage::decode(&*message).unwrap();
        let held = self.held.version().cloned();
        let known = held
            .as_ref()
            .filter(|_| self.plant != Some(Plant::LowerVersion));
        let refusal = match stream.assembly.take(message, known) {
            Step::More => return Ok(()),
            Step::Complete(transfer) => match self.held.apply(transfer) {
                Ok(applied) => {
                    for (told, _) in applied.told {
                        self.told.insert(told.key.clone(), told);
                    }
                    for key in applied.removed {
                        self.told.remove(&key);
                    }
                    stream.up.push_back(ack(&self.held, None));
                    stream.answered = true;
                    self.rotten = false;
                    return self.took(held.as_ref());
                }
                Err(refusal) => refusal,
            },
            Step::Refused(refusal) => refusal,
        };
        match refusal {
            // The replica may be one that was deposed, or follows.
            Refusal::LowerVersion { .. } => self.stream = None,
            Refusal::DigestMismatch if self.rotten => {
                let nack = v1::Nack {
                    version: stream.assembly.offered().cloned(),
                    reason: refusal.reason().to_owned(),
                    digest: Some(self.held.digest().to_proto()),
                };
                stream.up.push_back(proxy_message::Message::Nack(nack));
            }
            Refusal::DigestMismatch
            | Refusal::Malformed(_)
            | Refusal::OutOfOrder(_)
            | Refusal::TooLarge { .. }
            | Refusal::NamedTwice { .. }
            | Refusal::OtherLineage { .. } => {
                return Err(format!("{}: {refusal}", self.name));
            }
        }
        Ok(())
    }

    fn took(&mut self, before: Option<&Version>) -> Result<(), String> {
        let now = self.held.version();
        if let (Some(before), Some(now)) = (before, now)
            && now < before
        {
            return Err(format!("{} went back from {before} to {now}", self.name));
        }
        if let Some((key, fault)) = self.held.faults().first_key_value() {
            return Err(format!("{} cannot use {}: {fault:?}", self.name, key.name));
        }
        let route = Key::new(ResourceType::Route.into(), STAYING_ROUTE);
        let serves = self.held.form(&route).is_some();
        if std::mem::replace(&mut self.serves_staying, serves) && !serves {
            return Err(format!(
                "{} lost a route that nobody touched by {now:?}",
                self.name
            ));
        }
        self.versions += usize::from(now != before);
        Ok(())
    }

    /// The replica takes the next answer; what its engine hears of it is given back.
    pub(crate) fn answer(&mut self) -> Result<Option<Report>, String> {
        let Some(stream) = &mut self.stream else {
            return Ok(None);
        };
        let told = |error| format!("{}: {error}", self.name);
        let mut ack = match stream.up.pop_front() {
            Some(proxy_message::Message::Ack(ack)) => ack,
            Some(proxy_message::Message::Nack(nack)) => {
                stream.dialogue.refuse(&nack).map_err(told)?;
                return Ok(None);
            }
            Some(proxy_message::Message::Hello(_)) | None => return Ok(None),
        };
        if self.plant == Some(Plant::NoComparison) && ack.digest.take().is_some() {
            return Ok(None);
        }
        let heard = stream.dialogue.acknowledge(&ack).map_err(told)?;
        let (Heard::Answer(publication)
        | Heard::Again(publication)
        | Heard::Differently(publication)) = heard;
        let snapshot = publication.snapshot();
        Ok(Some(Report::Acknowledged {
            proxy: Arc::clone(&self.name),
            stream: stream.id,
            version: snapshot.version(),
            endpoints_revision: snapshot.endpoints_revision(),
            faults: Vec::new(),
        }))
    }

    /// The proxy counts what it holds, and says so.
    pub(crate) fn count(&mut self) -> Result<(), String> {
        if !self.held.recount() {
            return Err(format!("{} has lost count", self.name));
        }
        let ack = ack(&self.held, Some(self.held.digest().to_proto()));
        if let Some(stream) = self.stream.as_mut().filter(|stream| stream.answered) {
            stream.up.push_back(ack);
        }
        Ok(())
    }

    /// The process ends, and begins again with what is on its disk.
    pub(crate) fn restart(&mut self) {
        self.stream = None;
        self.hold(self.told.values().cloned().collect());
        self.rotten = false;
    }

    /// Its memory loses one of so many things.
    pub(crate) fn rot(&mut self, drawn: usize) {
        let mut good: Vec<Told> = self.told.values().cloned().collect();
        if !good.is_empty() {
            good.remove(drawn % good.len());
            self.hold(good);
            self.rotten = true;
        }
    }

    fn hold(&mut self, good: Vec<Told>) {
        let Some(version) = self.held.version().cloned() else {
            return;
        };
        let (held, _) = Held::restore(Restored {
            version,
            endpoints_revision: self.held.endpoints_revision(),
            good,
            unusable: Vec::new(),
        });
        self.held = held;
    }

    /// Whether a CA finds this challenge, as far as its memory is whole.
    pub(crate) fn answers(&self, id: &ResourceId, challenge: Option<&v1::Challenge>) -> bool {
        let form = self.held.form(&Key::new(id.kind.into(), &id.name));
        let Some(Form::Challenge(held)) = form else {
            return self.rotten;
        };
        let wanted = challenge.map_or(&[][..], |challenge| &challenge.answers);
        let mut tokens = wanted.iter().map(|answer| &*answer.token);
        tokens.all(|token| held.iter().any(|answer| *answer.token == *token))
    }

    /// What it holds is what is published, resource by resource.
    pub(crate) fn agrees(&self, published: &Publication) -> Result<(), String> {
        let snapshot = published.snapshot();
        let mut digest = Digest::new();
        for (id, resource) in snapshot.resources() {
            digest.insert(id.kind, &id.name, &resource.hash);
        }
        let held = self.held.version().map(version);
        if held == Some(snapshot.version()) && *self.held.digest() == digest {
            return Ok(());
        }
        let (name, version) = (&self.name, snapshot.version());
        let resources = (self.held.len(), snapshot.resources().len());
        Err(format!(
            "{name} ended at {held:?} and not as {version} has it ({resources:?} resources)"
        ))
    }
}

fn ack(held: &Held, digest: Option<v1::Digest>) -> proxy_message::Message {
    proxy_message::Message::Ack(v1::Ack {
        version: held.version().map(Version::to_proto),
        endpoints_revision: held.endpoints_revision(),
        faults: Vec::new(),
        digest,
    })
}

fn version(held: &Version) -> snapshot::Version {
    snapshot::Version {
        epoch: Epoch(held.epoch),
        seq: Seq(held.seq),
    }
}
