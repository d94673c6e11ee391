//! Messages of a stream, read with limits, as steps.

use roadstead_proto::v1::{self, follow_message::Message};

use crate::checkpoint::{self, RestoreError};
use crate::event::codec::{self, DecodeError};
use crate::event::{Epoch, Record, Seq};
use crate::replication::{Place, Step};
use crate::state::endpoints::{HeldSlice, SliceChange};

/// What a message comes to.
#[derive(Debug)]
pub(super) enum Assembled {
    Step(Step),
    /// Everything was told.
    Current,
}

/// A message that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    #[error(transparent)]
    Record(#[from] DecodeError),
    #[error(transparent)]
    Checkpoint(#[from] RestoreError),
    #[error("record {found} comes where {expected} should")]
    Order { expected: Seq, found: u64 },
    /// It was written by a leader that was deposed before.
    #[error("record {seq} is of epoch {found}, and the one before of {before}")]
    Epoch {
        seq: Seq,
        found: Epoch,
        before: Epoch,
    },
    #[error("a checkpoint that nothing began")]
    Unbegun,
    #[error("endpoints that cannot be read: {0}")]
    Endpoints(#[from] serde_json::Error),
    #[error("a checkpoint of more than {CHECKPOINT} bytes, or more than {ENDPOINT_SLICES} slices")]
    TooLong,
}

impl AssembleError {
    /// Whether it can be used by a newer release, which wrote it.
    pub fn is_of_newer_release(&self) -> bool {
        match self {
            Self::Record(error) => matches!(error, DecodeError::NewerSchema { .. }),
            Self::Checkpoint(error) => matches!(error, RestoreError::NewerSchema { .. }),
            Self::Order { .. }
            | Self::Epoch { .. }
            | Self::Unbegun
            | Self::Endpoints(_)
            | Self::TooLong => false,
        }
    }
}

/// Reads the messages of one stream.
#[derive(Debug)]
pub(super) struct Assembly {
    /// The record that is to come.
    next: Option<Seq>,
    /// The term of the record before.
    epoch: Epoch,
    /// Endpoints of which more are coming.
    endpoints: Vec<SliceChange>,
    /// The checkpoint that is coming.
    checkpoint: Option<Checkpoint>,
}

/// A checkpoint, as far as it came.
#[derive(Debug, Default)]
struct Checkpoint {
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

impl Assembly {
    /// For a log that ends there.
    pub(super) fn after(place: &Place) -> Self {
        Self {
            next: Some(place.seq.next()),
            epoch: place.epoch,
            endpoints: Vec::new(),
            checkpoint: None,
        }
    }

    /// Whether this is the last record that came.
    pub(super) fn ends_at(&self, seq: Seq) -> bool {
        self.next.is_none_or(|next| next == seq.next())
    }

    pub(super) fn take(
        &mut self,
        message: v1::FollowMessage,
    ) -> Result<Vec<Assembled>, AssembleError> {
        let mut steps = Vec::new();
        match message.message {
            Some(Message::Restart(v1::Restart {})) => {
                self.checkpoint = Some(Checkpoint::default());
                self.next = None;
                self.epoch = Epoch(0);
            }
            Some(Message::Checkpoint(v1::CheckpointEntries { entries })) => {
                let checkpoint = self.checkpoint.as_mut().ok_or(AssembleError::Unbegun)?;
                for v1::CheckpointEntry { key, value } in entries {
                    if checkpoint.entries.is_empty() {
                        checkpoint::check(&key, &value)?;
                    }
                    checkpoint.bytes += key.len() + value.len();
                    checkpoint.entries.push((key, value));
                }
                if checkpoint.bytes > CHECKPOINT {
                    return Err(AssembleError::TooLong);
                }
            }
            Some(Message::Records(v1::Records { records })) => {
                steps.extend(self.restart());
                let records = records.into_iter().map(|record| self.record(record));
                let records = records.collect::<Result<Vec<_>, _>>()?;
                steps.push(Assembled::Step(Step::Records(records)));
            }
            Some(Message::Current(v1::Current {})) => {
                steps.extend(self.restart());
                steps.push(Assembled::Current);
            }
            Some(Message::Endpoints(v1::EndpointSlices { slices, all, more })) => {
                steps.extend(self.restart());
                for v1::StoredSlice { key, slice } in slices {
                    self.endpoints.push(SliceChange {
                        key: serde_json::from_slice(&key)?,
                        slice: match &*slice {
                            [] => None,
                            json => Some(HeldSlice::from_json(json)?),
                        },
                    });
                }
                if self.endpoints.len() > ENDPOINT_SLICES {
                    return Err(AssembleError::TooLong);
                }
                if !more {
                    let changes = std::mem::take(&mut self.endpoints);
                    steps.push(Assembled::Step(Step::Endpoints { all, changes }));
                }
            }
            // Of a later release.
            None => {}
        }
        Ok(steps)
    }

    fn restart(&mut self) -> Option<Assembled> {
        let checkpoint = self.checkpoint.take()?;
        Some(Assembled::Step(Step::Restart(checkpoint.entries)))
    }

    fn record(&mut self, stored: v1::StoredRecord) -> Result<Record, AssembleError> {
        let v1::StoredRecord { seq, schema, bytes } = stored;
        if let Some(expected) = self.next.filter(|next| next.0 != seq) {
            return Err(AssembleError::Order {
                expected,
                found: seq,
            });
        }
        let schema = u16::try_from(schema).unwrap_or(u16::MAX);
        let record = codec::decode(Seq(seq), schema, &bytes)?;
        if record.epoch < self.epoch {
            let (seq, found, before) = (record.seq, record.epoch, self.epoch);
            return Err(AssembleError::Epoch { seq, found, before });
        }
        self.next = Some(record.seq.next());
        self.epoch = record.epoch;
        Ok(record)
    }
}

/// Far more than 10,000 objects take, and what may be in memory at once.
const CHECKPOINT: usize = 1 << 30;
const ENDPOINT_SLICES: usize = 1_000_000;
