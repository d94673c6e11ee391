//! What an engine is given: a disk that a crash may end, and outlets that check what is promised.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use roadstead_control_plane::checkpoint::Entry;
use roadstead_control_plane::engine::{InUse, Lacking, Log, LogError, Outlets};
use roadstead_control_plane::event::{Epoch, Record, Seq};
use roadstead_control_plane::model::bundle::Bundle;
use roadstead_control_plane::model::key::{Kind, ObjectKey, Origin};
use roadstead_control_plane::model::time::Timestamp;
use roadstead_control_plane::plan::recovery::Wanted;
use roadstead_control_plane::presence::Presence;
use roadstead_control_plane::project::Fold;
use roadstead_control_plane::project::standing::StandingChange;
use roadstead_control_plane::snapshot::publication::Publication;
use roadstead_control_plane::state::endpoints::SliceChange;
use roadstead_control_plane::state::hold::Holding;

use crate::ca::{Ca, Records};
use crate::disk::Disk;
use crate::world::Plant;

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
}

/// What engines reach from within, of all replicas.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) now: i64,
    pub(crate) plant: Option<Plant>,
    pub(crate) sides: Vec<Side>,
    /// Of every record that was ever written by a leader, what it says.
    pub(crate) written: BTreeMap<(Epoch, Seq), Record>,
    /// The highest term that anybody claimed, as the Lease tells it.
    pub(crate) claimed: Epoch,
    /// Somebody was at the Lease by hand: for a while two may believe that they lead.
    pub(crate) meddled: bool,
    /// Certificates, and where they come from.
    pub(crate) records: Records,
    pub(crate) ca: Ca,
    /// Nothing goes wrong any more.
    pub(crate) rests: bool,
    /// What was promised and not kept.
    pub(crate) broken: Option<String>,
}

/// What belongs to one replica.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) disk: Disk,
    /// The checkpoint that is being stored.
    pub(crate) draft: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Its term, and until when it counts, if it leads.
    pub(crate) office: Option<(Epoch, i64)>,
    pub(crate) publication: Arc<Publication>,
    pub(crate) presence: Presence,
    pub(crate) lacking: Option<Lacking>,
    /// It ends within its next append, before or after that is durable.
    pub(crate) dies: Option<bool>,
    pub(crate) died: bool,
}

pub(crate) fn shared<T>(f: impl FnOnce(&mut Shared) -> T) -> T {
    SHARED.with_borrow_mut(f)
}

impl Shared {
    pub(crate) fn breaks(&mut self, what: String) {
        self.broken.get_or_insert(what);
    }

    pub(crate) fn holds_office(&self, side: usize) -> bool {
        let office = self.sides[side].office;
        office.is_none_or(|(_, until)| self.now < until)
    }

    fn append(&mut self, side: usize, records: &[Record]) -> Result<(), LogError> {
        let leads = self.sides[side].office.is_some();
        if !self.holds_office(side) && self.plant != Some(Plant::NoFence) {
            return Err(LogError::Deposed);
        }
        if let Some(durable) = self.sides[side].dies.take() {
            self.sides[side].died = true;
            if !durable {
                return Err(LogError::new("the process was killed"));
            }
        }
        for record in records {
            if leads {
                self.check_written(record);
            }
            let disk = &mut self.sides[side].disk;
            let next = disk.last().next();
            if record.seq != next {
                self.breaks(format!(
                    "record {} was appended where {next} should be",
                    record.seq
                ));
                return Err(LogError::new("a gap"));
            }
            let disk = &mut self.sides[side].disk;
            if leads && self.plant == Some(Plant::PublishBeforeFlush) {
                disk.volatile.push(record.clone());
            } else {
                disk.records.push(record.clone());
            }
        }
        if self.sides[side].died {
            return Err(LogError::new("the process was killed"));
        }
        Ok(())
    }

    fn check_written(&mut self, record: &Record) {
        let epoch = record.epoch;
        if epoch < self.claimed && !self.meddled {
            let claimed = self.claimed;
            self.breaks(format!(
                "a leader of epoch {epoch} wrote after {claimed} was claimed"
            ));
        }
        let known = self.written.insert((epoch, record.seq), record.clone());
        if known.is_some_and(|known| known != *record) {
            self.breaks(format!("two records are {epoch}.{}", record.seq));
        }
    }
}

/// The log of one replica.
#[derive(Debug)]
pub(crate) struct SimLog(pub(crate) usize);

impl Log for SimLog {
    fn claim(&mut self, epoch: Epoch) -> Result<(), LogError> {
        shared(|shared| match &mut shared.sides[self.0].office {
            Some((own, _)) if *own == epoch => Ok(()),
            Some((_, until)) => {
                *until = 0;
                Err(LogError::Deposed)
            }
            None => Err(LogError::Deposed),
        })
    }

    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        shared(|shared| shared.append(self.0, records))
    }

    fn resume(&mut self, after: Seq) -> Result<Vec<Record>, LogError> {
        shared(|shared| {
            let side = &mut shared.sides[self.0];
            if side.died {
                return Err(LogError::new("the process was killed"));
            }
            let records = side.disk.records.iter();
            Ok(records
                .filter(|record| record.seq > after)
                .cloned()
                .collect())
        })
    }

    fn restart(&mut self) -> Result<(), LogError> {
        shared(|shared| shared.sides[self.0].disk = Disk::default());
        Ok(())
    }

    fn begin_checkpoint(&mut self, _: Seq) -> Result<(), LogError> {
        shared(|shared| shared.sides[self.0].draft.clear());
        Ok(())
    }

    fn add_to_checkpoint(
        &mut self,
        changed: &mut dyn Iterator<Item = Result<Entry, LogError>>,
    ) -> Result<(), LogError> {
        let entries: Result<Vec<Entry>, _> = changed.collect();
        let entries = entries?;
        shared(|shared| shared.sides[self.0].draft.extend(entries));
        Ok(())
    }

    fn finish_checkpoint(&mut self, seq: Seq) -> Result<(), LogError> {
        shared(|shared| {
            let side = &mut shared.sides[self.0];
            let entries = std::mem::take(&mut side.draft).into_iter();
            let disk = &mut side.disk;
            // Others are of no use here: all records are kept.
            if disk.records.is_empty() && disk.base.is_empty() {
                disk.base = entries
                    .filter_map(|(key, value)| Some((key, value?)))
                    .collect();
                disk.begin = seq;
            }
        });
        Ok(())
    }

    fn tidy(&mut self) -> Result<bool, LogError> {
        Ok(false)
    }

    fn write_endpoints(
        &mut self,
        _: &BTreeMap<ObjectKey, SliceChange>,
        _: Timestamp,
    ) -> Result<(), LogError> {
        Ok(())
    }
}

/// Where what one engine makes goes.
#[derive(Debug)]
pub(crate) struct SimOutlets(pub(crate) usize);

impl Outlets for SimOutlets {
    fn now(&self) -> Timestamp {
        shared(|shared| Timestamp(shared.now))
    }

    fn publish(&mut self, publication: Arc<Publication>) {
        shared(|shared| {
            if !shared.holds_office(self.0) {
                return;
            }
            let version = publication.snapshot().version();
            if !shared.sides[self.0].disk.holds(version.seq) {
                shared.breaks(format!("{version} was published and is not durable"));
            }
            shared.sides[self.0].publication = publication;
        });
    }

    fn presence(&mut self, presence: &Presence) {
        shared(|shared| shared.sides[self.0].presence = presence.clone());
    }

    fn lacking(&mut self, lacking: Option<Lacking>) {
        shared(|shared| shared.sides[self.0].lacking = lacking);
    }

    fn bundle(&mut self, _: Bundle) {}
    fn recorded(&mut self, _: &Record) {}
    fn wanted(&mut self, _: &Wanted) {}
    fn reached(&mut self, _: &Fold) {}
    fn turned(&mut self, _: Duration) {}
    fn standing(&mut self, _: StandingChange) {}
    fn beat(&mut self) {}
    fn listable(&mut self, _: Origin, _: Kind, _: bool) {}
    fn holds(&mut self, _: &Holding) {}
    fn secrets(&mut self, _: Option<&InUse>) {}
    fn synced(&mut self) {}
    fn restarted(&mut self, _: &Fold) {}
    fn frozen(&mut self, _: bool) {}
    fn relist(&mut self) {}
}
