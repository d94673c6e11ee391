//! The end of a traffic thread's work: accept no more, let what runs finish, cut what remains.
//!
//! Apart from accepting and serving: both only ask here how things stand.

use std::{cell::Cell, rc::Rc};

use tokio::sync::Notify;

/// How far a thread has come with ending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    #[default]
    Open,
    /// Connections end as soon as they have nothing to finish.
    Draining,
    /// Connections end now.
    Cutting,
}

/// Open connections of a thread, and whether they should end.
#[derive(Debug, Default)]
pub struct Drain {
    phase: Cell<Phase>,
    open: Cell<usize>,
    empty: Notify,
}

impl Drain {
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Goes on to `phase`; never back. Whoever waits for something else has to be woken.
    pub fn advance(&self, phase: Phase) {
        self.phase.set(self.phase.get().max(phase));
    }

    pub fn open(&self) -> usize {
        self.open.get()
    }

    /// Counts a connection until the guard is dropped.
    pub fn enter(self: &Rc<Self>) -> Guard {
        self.open.set(self.open.get() + 1);
        Guard(Rc::clone(self))
    }

    /// Waits until no connection is left.
    pub async fn emptied(&self) {
        while self.open.get() > 0 {
            self.empty.notified().await;
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Guard(Rc<Drain>);

impl Drop for Guard {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        if open == 0 {
            self.0.empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_drain_ends_with_the_last_connection() {
        let drain = Rc::new(Drain::default());
        let guards = [drain.enter(), drain.enter()];
        drain.advance(Phase::Cutting);
        drain.advance(Phase::Draining);
        assert_eq!(drain.phase(), Phase::Cutting);
        for guard in guards {
            assert!(drain.emptied().now_or_never().is_none());
            drop(guard);
        }
        assert!(drain.emptied().now_or_never().is_some());
    }
}
