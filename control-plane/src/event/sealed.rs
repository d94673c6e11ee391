//! What is kept outside of the log, as bytes: the schema first, and who keeps it, an installation in a
//! term.
//!
//! One for all that is kept so, because whatever a later release or a later leader wrote must be told
//! by each reader before anything else.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::event::Epoch;
use crate::event::codec::SCHEMA;

/// What is kept, and who keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed<T> {
    schema: u16,
    /// The installation that keeps it.
    pub lineage: Box<str>,
    /// The term in which it was written.
    pub epoch: Epoch,
    /// Its fields stand beside those above.
    #[serde(flatten)]
    pub content: T,
}

/// It cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("was written by a newer release (schema {schema}; this one knows {SCHEMA})")]
    NewerSchema { schema: u16 },
    #[error("cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Versioned {
    schema: u16,
}

/// The bytes of this, in schema [`SCHEMA`].
pub fn seal<T: Serialize>(
    lineage: &str,
    epoch: Epoch,
    content: T,
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&Sealed {
        schema: SCHEMA,
        lineage: lineage.into(),
        epoch,
        content,
    })
}

/// Reads it.
pub fn open<T: DeserializeOwned>(bytes: &[u8]) -> Result<Sealed<T>, OpenError> {
    let Versioned { schema } = serde_json::from_slice(bytes)?;
    if schema > SCHEMA {
        return Err(OpenError::NewerSchema { schema });
    }
    Ok(serde_json::from_slice(bytes)?)
}
