//! What is held back, shown to whoever watches.
//!
//! Apart from the turns, because it is seldom otherwise than before.

use crate::engine::{Engine, Log, Outlets};

impl<L: Log, O: Outlets> Engine<L, O> {
    /// Shows what is held now, if that was not shown already.
    pub(super) fn show_holds(&mut self) {
        let now = self.fold.state().holds_now();
        if now != self.holds {
            self.outlets.holds(&now);
            self.holds = now;
        }
    }
}
