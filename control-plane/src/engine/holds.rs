//! What is held back, shown to whoever watches.
//!
//! Apart from the turns, because it is seldom otherwise than before.

use crate::engine::{Engine, Log, Outlets};
use crate::event::Event;

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Shows what is held now, if that was not shown already.
    pub(super) fn show_holds(&mut self) {
        let now = self.fold.state().holds_now();
        if now != self.holding.holds || self.confirmed {
            self.holding.holds = now;
            self.confirmed = false;
            self.outlets.holds(&self.holding);
        }
    }

    /// Takes note of a confirmation, which ends a hold as a rule, as other things do.
    pub(super) fn note_confirmed(&mut self, event: &Event) {
        if let Event::DeletionConfirmed { hold, .. } = event {
            self.holding.confirm(*hold);
            self.confirmed = true;
        }
    }
}
