//! Time without a term: the records of a leader are taken in as they are.
//!
//! Apart from the turns, because nothing is observed here, and nothing is decided.

use std::collections::BTreeSet;
use std::future::ready;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::checkpoint::{Dirty, restore};
use crate::engine::{Engine, Log, LogError, Outlets};
use crate::model::key::ObjectKey;
use crate::plan::recovery::Wanted;
use crate::presence::Presence;
use crate::project::Fold;
use crate::replication::{Place, Step};
use crate::state::endpoints::SliceChange;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Follows a leader until nothing comes any more.
    ///
    /// Must run on a thread of its own, because appending blocks.
    pub async fn follow(&mut self, inbox: &mut mpsc::Receiver<Step>) {
        let mut housekeeping = interval(Duration::from_secs(1));
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.awaited.clear();
        self.acknowledged.clear();
        // The leader knows.
        self.fold.forget_missing();
        self.presence = Presence::default();
        self.outlets.presence(&self.presence);
        // Nor must the next term's list be of what was in use in the last.
        self.outlets.secrets(None);
        self.outlets.lacking(None);
        loop {
            tokio::select! {
                step = inbox.recv() => match step {
                    Some(step) => self.step(step),
                    None => break,
                },
                () = ready(()), if self.is_untidy() => {}
                _ = housekeeping.tick() => {
                    if self.frozen.is_none() {
                        self.fall_due();
                    }
                    self.outlets.beat();
                }
            }
            if self.is_untidy() {
                self.tidy();
            }
        }
    }

    /// Forgets everything: what the log holds is another installation's, or has been gone on with
    /// by a release that is newer than this one.
    pub fn forget(&mut self) -> Result<(), LogError> {
        self.restart(Vec::new())
    }

    /// Takes a step. After one that could not be stored none is taken before a new beginning.
    pub fn step(&mut self, step: Step) {
        if matches!(step, Step::Begin(_)) && !self.is_written_again() {
            return;
        }
        if self.frozen.is_some() {
            return;
        }
        let taken = match step {
            Step::Begin(answer) | Step::Reached(answer) => {
                // Who asked may have given up.
                let _ = answer.send(Place::of(self.fold.state().head()));
                return;
            }
            Step::Restart(entries) => self.restart(entries),
            Step::Records(records) => self.log.append(&records).map(|()| {
                self.take_in_records(&records);
                self.settings.lineage = self.fold.state().head().lineage.as_ref().into();
                self.outlets.reached(&self.fold);
            }),
            Step::Endpoints { all, changes } => {
                self.take_in_endpoints(all, changes);
                Ok(())
            }
        };
        match taken {
            Ok(()) => {
                self.restore(self.last_known());
                self.show_holds();
            }
            Err(error) => {
                tracing::error!(%error, "the leader's log is not followed until it can be stored");
                self.frozen = Some(self.outlets.now());
                self.outlets.frozen(true);
            }
        }
    }

    /// Endpoints as the leader has them: those that changed, or all.
    fn take_in_endpoints(&mut self, all: bool, changes: Vec<SliceChange>) {
        let mut gone: BTreeSet<ObjectKey> = BTreeSet::new();
        if all {
            gone.extend(self.fold.state().slices().keys().cloned());
        }
        for change in changes {
            gone.remove(&change.key);
            let held = self.fold.state().slices().get(&change.key);
            if held.map(|held| &**held) != change.slice.as_ref() {
                self.apply_endpoints(change);
            }
        }
        for key in gone {
            self.apply_endpoints(SliceChange { key, slice: None });
        }
        self.outlets.reached(&self.fold);
    }

    /// Whether the log can be written, be it again.
    fn is_written_again(&mut self) -> bool {
        if self.frozen.is_none() {
            return true;
        }
        match self.log.resume(self.fold.state().seq()) {
            Ok(records) => {
                self.take_in_records(&records);
                self.outlets.reached(&self.fold);
                self.frozen = None;
                self.outlets.frozen(false);
                tracing::info!("the event log can be written again");
                true
            }
            Err(error) => {
                tracing::error!(%error, "the event log still cannot be written");
                false
            }
        }
    }

    fn restart(&mut self, entries: Vec<(Vec<u8>, Vec<u8>)>) -> Result<(), LogError> {
        let stored = entries.clone();
        let fold = if entries.is_empty() {
            Fold::default()
        } else {
            restore(entries).map_err(LogError::new)?
        };
        self.log.restart()?;
        // What is known is never more than the log holds, whatever comes between.
        self.take_place_of_all(Fold::default());
        if !stored.is_empty() {
            let seq = fold.state().seq();
            let mut entries = stored
                .into_iter()
                .map(|(key, value)| Ok((key, Some(value))));
            self.log.begin_checkpoint(seq)?;
            self.log.add_to_checkpoint(&mut entries)?;
            self.log.finish_checkpoint(seq)?;
            self.take_place_of_all(fold);
        }
        Ok(())
    }

    /// Knows this from now on, and nothing else.
    fn take_place_of_all(&mut self, fold: Fold) {
        self.fold = fold;
        self.dirty = Dirty::default();
        self.storing = None;
        self.behind.clear();
        self.unpublished.clear();
        self.wanted = Wanted::of(self.fold.state());
        self.outlets.wanted(&self.wanted);
        self.settings.lineage = self.fold.state().head().lineage.as_ref().into();
        // Numbers go on, but nobody can say any more what changed since.
        self.publication = self.publication.forgetting().into();
        self.outlets.restarted(&self.fold);
    }
}
