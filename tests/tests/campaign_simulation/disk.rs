//! A replica's disk: what of its log is durable, and what a crash takes.

use roadstead_control_plane::checkpoint::{Restored, restore};
use roadstead_control_plane::event::{Record, Seq};
use roadstead_control_plane::history::archive::{Archive, ArchiveError, Records, Want};
use roadstead_control_plane::project::Fold;

/// One log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// What it begins with, if not with its first record.
    pub(crate) base: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) records: Vec<Record>,
    /// Written, and gone with a crash: only a planted bug has any.
    pub(crate) volatile: Vec<Record>,
    /// Where it begins: after this record.
    pub(crate) begin: Seq,
}

impl Disk {
    /// What a start finds.
    pub(crate) fn restored(&self) -> Restored {
        let mut restored = Restored::whole(self.base());
        for record in &self.records {
            restored.apply(record);
        }
        restored
    }

    pub(crate) fn crash(&mut self) {
        self.volatile.clear();
    }

    /// Its last record, durable or not.
    pub(crate) fn last(&self) -> Seq {
        let last = self.volatile.last().or_else(|| self.records.last());
        last.map_or(self.begin, |record| record.seq)
    }

    /// Whether this record is durable.
    pub(crate) fn holds(&self, seq: Seq) -> bool {
        self.records.last().map_or(self.begin, |record| record.seq) >= seq
    }

    fn base(&self) -> Fold {
        if self.base.is_empty() {
            return Fold::default();
        }
        restore(self.base.clone()).unwrap()
    }
}

impl Archive for Disk {
    fn oldest(&self) -> Seq {
        self.begin.next()
    }

    fn fold_before(&self, _: Seq) -> Result<Fold, ArchiveError> {
        Ok(self.base())
    }

    fn records(&self, from: Seq, to: Seq, _: Want) -> Result<Records<'_>, ArchiveError> {
        let oldest = self.oldest();
        if from < oldest {
            return Err(ArchiveError::Forgotten { oldest });
        }
        let all = self.records.iter().chain(&self.volatile);
        let asked = all.filter(move |record| from <= record.seq && record.seq <= to);
        Ok(Box::new(asked.cloned().map(Ok)))
    }
}
