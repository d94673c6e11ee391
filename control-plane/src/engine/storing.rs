//! Checkpoints, stored a little at a time beside the turns.
//!
//! Apart from the turns, because a checkpoint goes on over many of them: the first holds all that
//! a start found, and takes as long as a start does.

use std::mem;

use crate::checkpoint::{self, Storing};
use crate::engine::{Engine, Log, LogError, Outlets};

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Begins a checkpoint, unless one is being stored.
    pub(super) fn begin_checkpoint(&mut self) {
        if self.storing.is_some() {
            return;
        }
        match self.log.begin_checkpoint(self.fold.state().seq()) {
            Ok(()) => {
                self.storing = Some(Storing::new(mem::take(&mut self.dirty)));
                self.untidy = true;
            }
            Err(error) => not_stored(&error),
        }
    }

    /// Takes a step of the checkpoint that is being stored.
    pub(super) fn store(&mut self) {
        if let Some(mut storing) = self.storing.take() {
            match self.take_step(&mut storing) {
                Ok(true) => {}
                Ok(false) => self.storing = Some(storing),
                Err(error) => {
                    not_stored(&error);
                    // The next attempt writes it.
                    self.dirty.absorb(storing.into_all());
                }
            }
        }
    }

    /// Stores a checkpoint of now, and the rest of one that was begun with it.
    pub fn checkpoint(&mut self) {
        if self.dirty.records() > 0 {
            self.begin_checkpoint();
        }
        while self.storing.is_some() {
            self.store();
        }
    }

    /// Returns whether it was the last.
    fn take_step(&mut self, storing: &mut Storing) -> Result<bool, LogError> {
        if storing.waiting() == 0 {
            storing.go_on(mem::take(&mut self.dirty));
        }
        // A storm must not put off the end for ever.
        let most = if storing.rounds() < MOST_ROUNDS {
            AT_ONCE
        } else {
            usize::MAX
        };
        let is_last = storing.waiting() <= most && self.dirty.records() == 0;
        let entries = storing.next(&self.fold, most);
        let head = is_last.then(|| checkpoint::head(&self.fold));
        let mut entries = entries
            .chain(head)
            .map(|entry| entry.map_err(LogError::new));
        self.log.add_to_checkpoint(&mut entries)?;
        if is_last {
            self.log.finish_checkpoint(self.fold.state().seq())?;
        }
        Ok(is_last)
    }
}

fn not_stored(error: &LogError) {
    tracing::warn!(%error, "no checkpoint was stored");
}

/// Entries written in a step: some milliseconds.
pub(super) const AT_ONCE: usize = 128;
/// How often what changed meanwhile is written in steps; after that it is written at once.
pub(super) const MOST_ROUNDS: usize = 8;
