//! The world of an engine under test: a log that fails on demand, and outlets that remember.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::checkpoint::Entry;
use crate::engine::{InUse, Lacking, Log, LogError, Outlets};
use crate::event::{Epoch, Record, Seq};
use crate::model::bundle::Bundle;
use crate::model::key::{Kind, ObjectKey, Origin};
use crate::model::time::Timestamp;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::project::Fold;
use crate::project::standing::StandingChange;
use crate::snapshot::publication::Publication;
use crate::state::endpoints::SliceChange;
use crate::state::hold::{HoldNow, Holding};

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// What the log holds and what the outlets were given.
#[derive(Default)]
pub(super) struct World {
    pub(super) records: Vec<Record>,
    pub(super) claimed: Vec<Epoch>,
    pub(super) full: bool,
    /// The next append reaches the disk and is not acknowledged.
    pub(super) half: bool,
    pub(super) now: i64,
    pub(super) publications: Vec<Arc<Publication>>,
    pub(super) relists: usize,
    pub(super) listable: Vec<(Origin, Kind, bool)>,
    /// Which Secrets are in use, once that is known.
    pub(super) secrets: Option<InUse>,
    pub(super) lacking: Option<Lacking>,
    pub(super) synced: usize,
    pub(super) wanted: Wanted,
    pub(super) holds: Vec<HoldNow>,
    pub(super) behind: usize,
    /// Entries of the checkpoint that is being stored, and of those that were.
    pub(super) draft: Option<Vec<Entry>>,
    pub(super) stored: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) checkpoints: Vec<Seq>,
    /// Steps that the log can take of what can wait.
    pub(super) steps: usize,
    pub(super) frozen: bool,
    /// Another leads.
    pub(super) deposed: bool,
}

pub(super) fn world<T>(f: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(f)
}

#[derive(Debug)]
pub(super) struct TestLog;

impl Log for TestLog {
    fn claim(&mut self, epoch: Epoch) -> Result<(), LogError> {
        world(|world| {
            if world.full {
                return Err(LogError::new("no space left on device"));
            }
            world.claimed.push(epoch);
            Ok(())
        })
    }

    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        world(|world| {
            if world.deposed {
                return Err(LogError::Deposed);
            }
            if !world.full {
                world.records.extend_from_slice(records);
            }
            if world.full || std::mem::take(&mut world.half) {
                return Err(LogError::new("no space left on device"));
            }
            Ok(())
        })
    }

    fn resume(&mut self, after: Seq) -> Result<Vec<Record>, LogError> {
        world(|world| {
            let later = world.records.iter().filter(|record| record.seq > after);
            Ok(later.cloned().collect())
        })
    }

    fn restart(&mut self) -> Result<(), LogError> {
        world(|world| {
            world.records.clear();
            world.checkpoints.clear();
            world.stored.clear();
            world.draft = None;
        });
        Ok(())
    }

    fn begin_checkpoint(&mut self, _: Seq) -> Result<(), LogError> {
        world(|world| world.draft = Some(vec![]));
        Ok(())
    }

    fn add_to_checkpoint(
        &mut self,
        changed: &mut dyn Iterator<Item = Result<Entry, LogError>>,
    ) -> Result<(), LogError> {
        let changed: Result<Vec<Entry>, LogError> = changed.collect();
        world(|world| match &mut world.draft {
            Some(draft) if !world.full => {
                draft.extend(changed?);
                Ok(())
            }
            _ => Err(LogError::new("no space left on device")),
        })
    }

    fn finish_checkpoint(&mut self, seq: Seq) -> Result<(), LogError> {
        world(|world| {
            for (key, value) in world.draft.take().unwrap() {
                match value {
                    Some(value) => world.stored.insert(key, value),
                    None => world.stored.remove(&key),
                };
            }
            world.checkpoints.push(seq);
        });
        Ok(())
    }

    fn tidy(&mut self) -> Result<bool, LogError> {
        world(|world| {
            world.steps = world.steps.saturating_sub(1);
            Ok(world.steps > 0)
        })
    }

    fn write_endpoints(
        &mut self,
        changes: &BTreeMap<ObjectKey, SliceChange>,
        _: Timestamp,
    ) -> Result<(), LogError> {
        world(|world| {
            if world.full {
                return Err(LogError::new("no space left on device"));
            }
            world.behind += changes.len();
            Ok(())
        })
    }
}

#[derive(Debug)]
pub(super) struct TestOutlets;

impl Outlets for TestOutlets {
    fn now(&self) -> Timestamp {
        world(|world| Timestamp(world.now))
    }

    fn publish(&mut self, publication: Arc<Publication>) {
        world(|world| world.publications.push(publication));
    }

    fn bundle(&mut self, _: Bundle) {}

    fn presence(&mut self, _: &Presence) {}

    fn recorded(&mut self, _: &Record) {}

    fn wanted(&mut self, wanted: &Wanted) {
        world(|world| world.wanted = wanted.clone());
    }

    fn reached(&mut self, _: &Fold) {}

    fn turned(&mut self, _: Duration) {}

    fn standing(&mut self, _: StandingChange) {}

    fn beat(&mut self) {}

    fn listable(&mut self, origin: Origin, kind: Kind, listable: bool) {
        world(|world| world.listable.push((origin, kind, listable)));
    }

    fn holds(&mut self, holding: &Holding) {
        world(|world| world.holds.clone_from(&holding.holds));
    }

    fn secrets(&mut self, in_use: Option<&InUse>) {
        world(|world| world.secrets = in_use.cloned());
    }

    fn lacking(&mut self, lacking: Option<Lacking>) {
        world(|world| world.lacking = lacking);
    }

    fn synced(&mut self) {
        world(|world| world.synced += 1);
    }

    fn restarted(&mut self, _: &Fold) {}

    fn frozen(&mut self, frozen: bool) {
        world(|world| world.frozen = frozen);
    }

    fn relist(&mut self) {
        world(|world| world.relists += 1);
    }
}
