//! Reading a checkpoint, and believing it only if it is whole.
//!
//! Apart from writing, which is the writer's alone.

use crate::event::Seq;
use crate::event_log::{
    EventLog,
    checkpoint::{Checkpoint, manifest, value},
    error::{Place, ReadError},
    store::Store,
};

/// Hands over all keys and values of a checkpoint, then compares them with its manifest.
pub(in crate::event_log) fn read<E: From<ReadError>>(
    log: &EventLog,
    seq: Seq,
    mut each: impl FnMut(Vec<u8>, Vec<u8>) -> Result<(), E>,
) -> Result<Checkpoint, E> {
    let store = log.store()?;
    let wanted = find(log, &store, seq)?;
    let mut found = Checkpoint {
        seq,
        ..Checkpoint::default()
    };
    for found_at in value::at(&store, seq) {
        let (key, version) = found_at.map_err(|error| log.read_error(error))?;
        match version.value {
            Ok(Some((hash, bytes))) => {
                found.entries = found.entries.saturating_add(1);
                found.digest = found.digest.wrapping_add(hash);
                each(key, bytes)?;
            }
            Ok(None) => {}
            Err(error) => {
                // It may be on its way out with its checkpoint; then this says so.
                find(log, &store, seq)?;
                let damage = log.damage("entries", Place::Key(key), &error);
                return Err(ReadError::from(damage).into());
            }
        }
    }
    if found != wanted {
        // Likewise.
        find(log, &store, seq)?;
        let what = format!("it was to be {wanted}, and is {found}");
        let damage = log.damage("entries", Place::At(seq), &what);
        return Err(ReadError::from(damage).into());
    }
    Ok(found)
}

fn find(log: &EventLog, store: &Store, seq: Seq) -> Result<Checkpoint, ReadError> {
    let all = manifest::all(store).map_err(|error| log.load_error("manifests", error))?;
    let found = all.into_iter().find(|checkpoint| checkpoint.seq == seq);
    found.ok_or(ReadError::NoCheckpoint { seq })
}
