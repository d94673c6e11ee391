//! The log as another replica needs it: from where its own ends.
//!
//! Apart from what people ask for: nothing is folded here, and what cannot be joined begins anew.

use crate::checkpoint::Dirty;
use crate::event::Seq;
use crate::event::codec;
use crate::history::HistoryError;
use crate::history::archive::{Archive, ArchiveError, Want};
use crate::replication::Place;

/// How a replica goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// With the record after its last.
    Next,
    /// With nothing of its own: with this checkpoint, and the record after it.
    Anew {
        entries: Vec<(Vec<u8>, Vec<u8>)>,
        next: Seq,
    },
}

/// How a replica goes on whose log ends there, from a log that ends here.
pub fn beginning(
    archive: &dyn Archive,
    here: &Place,
    after: &Place,
    leads: bool,
) -> Result<Beginning, HistoryError> {
    let oldest = archive.oldest();
    let joins = if after.seq == Seq(0) {
        oldest <= Seq(1)
    } else {
        after.lineage == here.lineage && after.seq <= here.seq && holds(archive, after)?
    };
    if joins {
        return Ok(Beginning::Next);
    }
    // A replica that lost its log may be taken for the leader that it was a moment ago; and of
    // another installation only who leads may say that it is the right one.
    let same = after.lineage == here.lineage || after.lineage.is_empty() || here.lineage.is_empty();
    if !(if same { here.is_ahead_of(after) } else { leads }) {
        return Err(HistoryError::Behind {
            here: here.clone(),
            there: after.clone(),
        });
    }
    if oldest <= Seq(1) {
        return Ok(Beginning::Anew {
            entries: Vec::new(),
            next: Seq(1),
        });
    }
    let failed = |error| HistoryError::from_archive(oldest, error);
    // All that is retained, so that whoever takes over has the same history.
    let before = Seq(oldest.0.saturating_sub(1));
    let fold = match archive.fold_before(before) {
        Err(ArchiveError::Forgotten { .. }) => archive.fold_before(here.seq),
        found => found,
    };
    let fold = fold.map_err(failed)?;
    let entries = Dirty::all(&fold)
        .entries(&fold)
        .filter_map(|entry| entry.map(|(key, value)| Some((key, value?))).transpose())
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(&error))?;
    Ok(Beginning::Anew {
        entries,
        next: fold.state().seq().next(),
    })
}

/// A record in the bytes of [`codec::SCHEMA`].
#[derive(Clone, Debug)]
pub struct Encoded {
    pub seq: Seq,
    pub bytes: Vec<u8>,
}

/// Records from one place to another, as many as fit into a message.
pub(super) fn records(
    archive: &dyn Archive,
    from: Seq,
    to: Seq,
) -> Result<Vec<Encoded>, HistoryError> {
    let failed = |error| HistoryError::from_archive(from, error);
    let (mut found, mut bytes) = (Vec::new(), 0);
    for record in archive.records(from, to, Want::All).map_err(failed)? {
        let record = record.map_err(failed)?;
        let encoded = Encoded {
            seq: record.seq,
            bytes: codec::encode(&record).map_err(|error| unreadable(&error))?,
        };
        bytes += encoded.bytes.len();
        found.push(encoded);
        if bytes >= BYTES || found.len() >= RECORDS {
            break;
        }
    }
    Ok(found)
}

fn unreadable(error: &serde_json::Error) -> HistoryError {
    HistoryError::Unreadable(error.to_string())
}

/// Whether the log holds the record that this place names.
fn holds(archive: &dyn Archive, place: &Place) -> Result<bool, HistoryError> {
    let failed = |error| HistoryError::from_archive(place.seq, error);
    let mut found = match archive.records(place.seq, place.seq, Want::All) {
        Err(ArchiveError::Forgotten { .. }) => return Ok(false),
        found => found.map_err(failed)?,
    };
    let record = found.next().transpose().map_err(failed)?;
    Ok(record.is_some_and(|record| {
        (record.seq, record.epoch, record.time) == (place.seq, place.epoch, place.time)
    }))
}

const BYTES: usize = 1 << 20;
const RECORDS: usize = 1024;
