//! An archive in memory.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::event::{Record, Seq};
use crate::history::archive::{Archive, ArchiveError, Records, Want};
use crate::project::Fold;

/// Records in memory, and a fold of those that were compacted.
#[derive(Debug, Default)]
pub(super) struct Memory {
    records: ArcSwap<Vec<Record>>,
    oldest: ArcSwap<Seq>,
}

impl Memory {
    pub(super) fn append(&self, record: Record) {
        let mut records = Vec::clone(&self.records.load());
        records.push(record);
        self.records.store(Arc::new(records));
    }

    /// Forgets the records before this place.
    pub(super) fn compact(&self, oldest: Seq) {
        self.oldest.store(Arc::new(oldest));
    }
}

impl Archive for Memory {
    fn oldest(&self) -> Seq {
        (**self.oldest.load()).max(Seq(1))
    }

    fn fold_before(&self, seq: Seq) -> Result<Fold, ArchiveError> {
        let oldest = self.oldest();
        if oldest == Seq(1) {
            return Ok(Fold::default());
        }
        if seq < oldest {
            return Err(ArchiveError::Forgotten { oldest });
        }
        let mut fold = Fold::default();
        let records = self.records.load();
        for record in records.iter().take_while(|record| record.seq < oldest) {
            fold.apply(record);
        }
        Ok(fold)
    }

    fn records(&self, from: Seq, to: Seq, _: Want) -> Result<Records<'_>, ArchiveError> {
        let oldest = self.oldest();
        if from < oldest {
            return Err(ArchiveError::Forgotten { oldest });
        }
        let records = Vec::clone(&self.records.load()).into_iter();
        let asked = records.filter(move |record| from <= record.seq && record.seq <= to);
        Ok(Box::new(asked.map(Ok)))
    }
}
