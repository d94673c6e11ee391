//! What the log tells of one object, the newest first.
//!
//! Apart from pages of all events: the log has no index by object, so that this reads backwards, a
//! stretch at a time, and gives up for the moment where it finds too little.

use crate::event::{Record, Seq};
use crate::history::HistoryError;
use crate::history::archive::{Archive, Want};
use crate::model::key::ObjectKey;
use crate::model::time::Timestamp;
use crate::snapshot::Version;
use crate::versions::Versions;

/// Some events about an object, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Biography {
    pub events: Vec<Told>,
    /// The next ones are before this; `None` where no older ones are retained.
    pub next: Option<Seq>,
}

/// An event in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub seq: Seq,
    pub time: Timestamp,
    /// What was served from then on; `None` if that is not known any more.
    pub version: Option<Version>,
    pub text: String,
}

impl Told {
    fn of(record: &Record, versions: &Versions) -> Self {
        Self {
            seq: record.seq,
            time: record.time,
            version: versions.at(record.seq).map(|made| made.version()),
            text: record.event.to_string(),
        }
    }
}

/// Events about an object before a place, as many as fit.
pub(super) fn read(
    archive: &dyn Archive,
    versions: &Versions,
    object: &ObjectKey,
    mut before: Seq,
    limit: usize,
) -> Result<Biography, HistoryError> {
    let oldest = archive.oldest().max(Seq(1));
    let stop = Seq(before.0.saturating_sub(READ)).max(oldest);
    let mut biography = Biography::default();
    let mut bytes = 0;
    while before > stop {
        let from = Seq(before.0.saturating_sub(STRETCH)).max(stop);
        let last = Seq(before.0.saturating_sub(1));
        let failed = |error| HistoryError::from_archive(from, error);
        let mut stretch = Vec::new();
        for record in archive.records(from, last, Want::Folded).map_err(failed)? {
            let record = record.map_err(failed)?;
            if record.event.object() == Some(object) {
                stretch.push(Told::of(&record, versions));
            }
        }
        for told in stretch.into_iter().rev() {
            if biography.events.len() >= limit || bytes >= PAGE_BYTES {
                biography.next = Some(told.seq.next());
                return Ok(biography);
            }
            bytes += told.text.len();
            biography.events.push(told);
        }
        before = from;
    }
    biography.next = (before > oldest).then_some(before);
    Ok(biography)
}

/// Records that are read for one page, most of which are of other objects.
const READ: u64 = 20_000;
/// Records of which those about the object are in memory at once.
const STRETCH: u64 = 1_000;
/// A page is sent in one message, beside what else is told of the object.
const PAGE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests;
