//! Reading itself: folding up to a record, and gathering a page of events.
//!
//! Apart from `History`, because this blocks, and knows nothing of tasks and turns.

use std::sync::Arc;

use crate::event::Seq;
use crate::history::archive::{Archive, Want};
use crate::history::{Events, HistoryError, Logged, Past};
use crate::project::Fold;
use crate::snapshot::Version;

/// The snapshot after a record, found at a later one that did not change it.
pub(super) fn past(archive: &dyn Archive, asked: Seq, until: Seq) -> Result<Past, HistoryError> {
    let fold = fold(archive, asked, until)?;
    let version = fold.snapshot().version();
    Ok(Past {
        snapshot: fold.snapshot().clone(),
        lineage: Arc::from(fold.state().head().lineage.as_ref()),
        time: fold.versions().made_by(version.seq).map(|made| made.time),
        until,
    })
}

/// What all records up to one come to; there was a version by then.
pub(super) fn fold(archive: &dyn Archive, asked: Seq, until: Seq) -> Result<Fold, HistoryError> {
    let failed = |error| HistoryError::from_archive(asked, error);
    let mut fold = archive.fold_before(until).map_err(failed)?;
    let next = fold.state().seq().next();
    if next <= until {
        let records = archive.records(next, until, Want::Folded).map_err(failed)?;
        for record in records {
            fold.apply(&record.map_err(failed)?);
        }
    }
    if fold.snapshot().version() == Version::default() {
        return Err(HistoryError::BeforeFirst { asked });
    }
    Ok(fold)
}

/// Events from the first to the last of these places, as many as fit.
pub(super) fn events(
    archive: &dyn Archive,
    asked: Seq,
    newest: Seq,
    limit: usize,
) -> Result<Events, HistoryError> {
    let failed = |error| HistoryError::from_archive(asked, error);
    let oldest = archive.oldest();
    let from = asked.max(oldest).max(Seq(1));
    let mut page = Events {
        events: Vec::new(),
        next: None,
        oldest,
    };
    if from > newest {
        return Ok(page);
    }
    let mut bytes = 0;
    for record in archive.records(from, newest, Want::All).map_err(failed)? {
        let record = record.map_err(failed)?;
        if page.events.len() >= limit || bytes >= PAGE_BYTES {
            page.next = Some(record.seq);
            break;
        }
        let json = serde_json::to_string(&record);
        let json = json.map_err(|error| HistoryError::Unreadable(error.to_string()))?;
        bytes += json.len();
        page.events.push(Logged { record, json });
    }
    Ok(page)
}

/// A page is sent in one message, and a message has 4 MiB at most; one event may have more
/// than a MiB.
const PAGE_BYTES: usize = 1 << 20;
