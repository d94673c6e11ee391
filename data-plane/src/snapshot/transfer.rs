//! A transfer, put together from its messages: Begin, Chunks, Commit.
//!
//! Apart from what is held, because nothing of a transfer may be used before its Commit, and
//! because what comes from outside is bounded here.

use std::{collections::HashSet, sync::Arc};

use bytes::Bytes;
use roadstead_proto::{digest, v1};

use super::{Key, Refusal, Version};

/// What a transfer may have at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Resources that are changed or removed.
    pub resources: usize,
    /// Bytes of all bodies and names together.
    pub bytes: usize,
    /// Bytes of one name.
    pub name: usize,
}

impl Default for Limits {
    /// Fifty times what 10,000 hosts take.
    fn default() -> Self {
        Self {
            resources: 2_000_000,
            bytes: 512 << 20,
            name: 1024,
        }
    }
}

/// A whole transfer: each resource is named once.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub version: Version,
    pub endpoints_revision: u64,
    pub digest: digest::Digest,
    /// Numbers of the buckets of which everything that is not in `changed` goes.
    pub replaced: HashSet<u8>,
    pub changed: Vec<Told>,
    pub removed: Vec<Key>,
    /// The W3C `traceparent` of the change that it tells of.
    pub trace_parent: Option<Box<str>>,
}

/// A resource as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub key: Key,
    pub hash: [u8; 16],
    pub body: Bytes,
    pub requires: Box<[String]>,
}

impl Told {
    /// Reads the identity; the body is looked at only after the Commit.
    pub fn from_proto(resource: v1::Resource, limits: &Limits) -> Result<Self, Refusal> {
        let v1::Resource {
            r#type,
            name,
            body,
            hash,
            changed_at: _,
            requires,
        } = resource;
        Ok(Self {
            key: key(r#type, &name, limits)?,
            hash: (*hash)
                .try_into()
                .map_err(|_| Refusal::Malformed("a resource's hash is not of 16 bytes"))?,
            body,
            requires: requires.into(),
        })
    }

    /// The same, apart from the message that it was read from and would keep in memory.
    fn detached(self) -> Self {
        Self {
            body: Bytes::copy_from_slice(&self.body),
            ..self
        }
    }

    /// The wire form, less `changed_at`, which a proxy does not use.
    pub fn to_proto(&self) -> v1::Resource {
        v1::Resource {
            r#type: self.key.kind,
            name: self.key.name.to_string(),
            body: self.body.clone(),
            hash: Bytes::copy_from_slice(&self.hash),
            changed_at: None,
            requires: self.requires.to_vec(),
        }
    }
}

/// What a message brought about.
#[derive(Debug)]
pub enum Step {
    /// The transfer goes on.
    More,
    Complete(Transfer),
    /// The transfer is over and nothing of it is to be used.
    Refused(Refusal),
}

/// Puts transfers together, one after the other.
#[derive(Debug)]
pub struct Assembly {
    limits: Limits,
    /// The lineage that may replace the one that is held.
    accepted: Option<Arc<str>>,
    phase: Phase,
    /// The version of the last Begin.
    offered: Option<v1::Version>,
}

#[derive(Debug)]
enum Phase {
    /// Between a Commit and the next Begin.
    Idle,
    Open(Open),
    /// Something was wrong; what is left of the transfer is read and dropped.
    Failed(Refusal),
}

#[derive(Debug)]
struct Open {
    transfer: Transfer,
    named: HashSet<Key>,
    bytes: usize,
}

impl Assembly {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            accepted: None,
            phase: Phase::Idle,
            offered: None,
        }
    }

    /// Takes versions of this lineage, too, whatever is held.
    pub fn accepting(self, lineage: Option<Arc<str>>) -> Self {
        Self {
            accepted: lineage,
            ..self
        }
    }

    /// The version of the transfer that goes on or was the last one.
    pub fn offered(&self) -> Option<&v1::Version> {
        self.offered.as_ref()
    }

    /// Takes the next message of the stream. `held` is the version that is held.
    pub fn take(&mut self, message: v1::TransferMessage, held: Option<&Version>) -> Step {
        use v1::transfer_message::Message;
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        self.phase = match (phase, message.message) {
            // ## Idle => Open
            (Phase::Idle, Some(Message::Begin(begin))) => {
                self.offered.clone_from(&begin.version);
                Open::new(&begin, held, self.accepted.as_deref()).into()
            }
            // ## Open => Open
            (Phase::Open(open), Some(Message::Chunk(chunk))) => {
                open.add(chunk, &self.limits).into()
            }
            // ## Open => Idle
            (Phase::Open(open), Some(Message::Commit(commit))) => {
                return match open.close(&commit) {
                    Ok(transfer) => Step::Complete(transfer),
                    Err(refusal) => Step::Refused(refusal),
                };
            }
            // ## Failed => Failed
            (Phase::Failed(refusal), Some(Message::Chunk(_))) => Phase::Failed(refusal),
            // ## Failed => Idle
            (Phase::Failed(refusal), Some(Message::Commit(_))) => return Step::Refused(refusal),
            // ## Out of order: any => Idle
            (_, Some(Message::Begin(_))) => return out_of_order("a Begin within a transfer"),
            (Phase::Idle, Some(Message::Chunk(_) | Message::Commit(_))) => {
                return out_of_order("a Chunk or Commit without a Begin");
            }
            // ## A kind that only later releases know: as it was, for the digest to judge
            (phase, None) => phase,
        };
        Step::More
    }
}

fn out_of_order(what: &'static str) -> Step {
    Step::Refused(Refusal::OutOfOrder(what))
}

impl From<Result<Open, Refusal>> for Phase {
    fn from(result: Result<Open, Refusal>) -> Self {
        result.map_or_else(Self::Failed, Self::Open)
    }
}

impl Open {
    fn new(
        begin: &v1::Begin,
        held: Option<&Version>,
        accepted: Option<&str>,
    ) -> Result<Self, Refusal> {
        let version = version(begin.version.as_ref())?;
        admit(&version, held, accepted)?;
        let replaced = begin.replaced_buckets.iter().map(|&b| u8::try_from(b));
        Ok(Self {
            transfer: Transfer {
                version,
                endpoints_revision: 0,
                digest: digest::Digest::new(),
                replaced: replaced
                    .collect::<Result<_, _>>()
                    .map_err(|_| Refusal::Malformed("a bucket's number is above 255"))?,
                changed: Vec::new(),
                removed: Vec::new(),
                trace_parent: (begin.trace_parent.len() == TRACE_PARENT)
                    .then(|| begin.trace_parent.as_str().into()),
            },
            named: HashSet::new(),
            bytes: 0,
        })
    }

    fn add(mut self, chunk: v1::Chunk, limits: &Limits) -> Result<Self, Refusal> {
        for resource in chunk.changed {
            let told = Told::from_proto(resource, limits)?.detached();
            self.count(&told.key, told.body.len(), limits)?;
            self.transfer.changed.push(told);
        }
        for id in chunk.removed {
            let key = key(id.r#type, &id.name, limits)?;
            self.count(&key, 0, limits)?;
            self.transfer.removed.push(key);
        }
        Ok(self)
    }

    fn count(&mut self, key: &Key, body: usize, limits: &Limits) -> Result<(), Refusal> {
        let too_large = |limit, what| Err(Refusal::TooLarge { limit, what });
        self.bytes += key.name.len() + body;
        if self.bytes > limits.bytes {
            return too_large(limits.bytes, "bytes in one transfer");
        }
        if self.named.len() >= limits.resources {
            return too_large(limits.resources, "resources in one transfer");
        }
        if !self.named.insert(key.clone()) {
            let name = key.name.to_string();
            return Err(Refusal::NamedTwice { name });
        }
        Ok(())
    }

    fn close(mut self, commit: &v1::Commit) -> Result<Transfer, Refusal> {
        if self.transfer.version != version(commit.version.as_ref())? {
            return Err(Refusal::OutOfOrder(
                "a Commit of another version than its Begin",
            ));
        }
        self.transfer.endpoints_revision = commit.endpoints_revision;
        self.transfer.digest = commit
            .digest
            .as_ref()
            .and_then(digest::Digest::from_proto)
            .ok_or(Refusal::Malformed("a Commit without a whole digest"))?;
        Ok(self.transfer)
    }
}

/// Never back to a lower version of the same lineage, and to another lineage only if it was told to.
fn admit(offered: &Version, held: Option<&Version>, accepted: Option<&str>) -> Result<(), Refusal> {
    let Some(held) = held else { return Ok(()) };
    let (offered, held) = (offered.clone(), held.clone());
    match offered.partial_cmp(&held) {
        None if accepted == Some(&*offered.lineage) => Ok(()),
        None => Err(Refusal::OtherLineage { offered, held }),
        Some(std::cmp::Ordering::Less) => Err(Refusal::LowerVersion { offered, held }),
        Some(_) => Ok(()),
    }
}

fn version(version: Option<&v1::Version>) -> Result<Version, Refusal> {
    let version = version.ok_or(Refusal::Malformed("a transfer without a version"))?;
    if version.lineage.is_empty() || version.lineage.len() > MAX_LINEAGE {
        return Err(Refusal::Malformed("a lineage that is empty or overlong"));
    }
    Ok(version.into())
}

fn key(kind: i32, name: &str, limits: &Limits) -> Result<Key, Refusal> {
    if name.is_empty() || name.len() > limits.name {
        return Err(Refusal::Malformed("a name that is empty or overlong"));
    }
    Ok(Key::new(kind, name))
}

const MAX_LINEAGE: usize = 128;
/// W3C Trace Context, 3.2.2: a traceparent of version 00 has this many bytes.
const TRACE_PARENT: usize = 55;

#[cfg(test)]
mod tests;
