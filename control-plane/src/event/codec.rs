//! Records and their bytes: JSON, with a schema version beside it.
//!
//! JSON because a record must be read by binaries of later years, by people and by
//! `export` alike. Schema 1 is the first. Any event, field or value that is new is a new schema,
//! which an older binary must know that it cannot read; an old shape that is no longer read as it
//! was is upcast here, and its meaning stays. A log, a checkpoint and the shapes of every released
//! schema lie under the tests.

use serde::{Deserialize, Serialize};

use crate::event::{Epoch, Event, Record, Seq};
use crate::model::time::Timestamp;

/// The schema that this binary writes: records, the entries of checkpoints, recovery records.
pub const SCHEMA: u16 = 2;

/// A record's bytes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "record {seq} was written by a newer release (schema {schema}; this one knows {SCHEMA})"
    )]
    NewerSchema { seq: Seq, schema: u16 },
    #[error("record {seq} cannot be read: {source}")]
    Malformed { seq: Seq, source: serde_json::Error },
}

/// What of a record is stored beside its sequence number, which is its key.
#[derive(Serialize, Deserialize)]
struct Stored<E> {
    epoch: Epoch,
    time: Timestamp,
    event: E,
}

/// The bytes of a record, in schema [`SCHEMA`].
///
/// Fails only where a value has no JSON form, which no event has: the laws hold it.
pub fn encode(record: &Record) -> Result<Vec<u8>, serde_json::Error> {
    let stored = Stored {
        epoch: record.epoch,
        time: record.time,
        event: &record.event,
    };
    serde_json::to_vec(&stored)
}

/// Reads a record that was stored under this sequence number and schema.
pub fn decode(seq: Seq, schema: u16, bytes: &[u8]) -> Result<Record, DecodeError> {
    if schema > SCHEMA {
        return Err(DecodeError::NewerSchema { seq, schema });
    }
    let stored: Stored<Event> =
        serde_json::from_slice(bytes).map_err(|source| DecodeError::Malformed { seq, source })?;
    Ok(Record {
        seq,
        epoch: stored.epoch,
        time: stored.time,
        event: stored.event,
    })
}
