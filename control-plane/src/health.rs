//! Whether the process is alive and ready, as a value that its parts write and probes read.
//!
//! Apart from the endpoint that shows it, so that parts need not know of HTTP.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::key::{Kind, Origin};
use crate::state::hold::Hold;

/// What must be so before this process is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// The first list of each kind is complete, or known not to be possible.
    Listed,
    /// What the leader logs can be read: no newer release writes it.
    Readable,
    /// The event log can be written.
    LogWritable,
    /// Proxies and operators can connect.
    Serving,
}

impl Condition {
    /// All conditions.
    pub const ALL: [Self; 4] = [
        Self::Listed,
        Self::Readable,
        Self::LogWritable,
        Self::Serving,
    ];
}

/// What is the matter while a condition does not hold.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Listed => "the first lists are not complete",
            Self::Readable => "a newer release writes the log, and this one cannot read it",
            Self::LogWritable => "the event log cannot be written",
            Self::Serving => "gRPC is not being served",
        })
    }
}

/// The health of this process. A clone is another handle to it.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<watch::Sender<State>>,
}

#[derive(Clone, Debug)]
struct State {
    unmet: BTreeSet<Condition>,
    unlistable: BTreeSet<(Origin, Kind)>,
    holds: Vec<Hold>,
    beat: Instant,
}

impl Health {
    /// Alive, and not ready until each of these conditions was met.
    pub fn new(conditions: impl IntoIterator<Item = Condition>) -> Self {
        let state = State {
            unmet: conditions.into_iter().collect(),
            unlistable: BTreeSet::new(),
            holds: Vec::new(),
            beat: Instant::now(),
        };
        Self {
            state: Arc::new(watch::Sender::new(state)),
        }
    }

    /// A condition holds, or does not.
    pub fn set(&self, condition: Condition, met: bool) {
        self.state.send_if_modified(|state| {
            if met {
                state.unmet.remove(&condition)
            } else {
                state.unmet.insert(condition)
            }
        });
    }

    /// A kind of objects was listed, or cannot be.
    pub fn listable(&self, origin: Origin, kind: Kind, listable: bool) {
        self.state.send_if_modified(|state| {
            if listable {
                state.unlistable.remove(&(origin, kind))
            } else {
                state.unlistable.insert((origin, kind))
            }
        });
    }

    /// Kinds that cannot be listed: what is known of them is served, and may be old.
    pub fn unlistable(&self) -> BTreeSet<(Origin, Kind)> {
        self.state.borrow().unlistable.clone()
    }

    /// This is held back.
    pub fn hold(&self, holds: Vec<Hold>) {
        self.state.send_modify(|state| state.holds = holds);
    }

    /// What is held back: it serves, and waits for an operator.
    pub fn holds(&self) -> Vec<Hold> {
        self.state.borrow().holds.clone()
    }

    /// The engine took a turn, or looked whether there was one to take. To be called about
    /// once a second.
    pub fn beat(&self) {
        self.state.send_modify(|state| state.beat = Instant::now());
    }

    /// Conditions that do not hold. Ready means that there are none.
    pub fn unmet(&self) -> BTreeSet<Condition> {
        self.state.borrow().unmet.clone()
    }

    /// How long the engine has been silent, if that is too long.
    pub fn stalled(&self) -> Option<Duration> {
        let silent = self.state.borrow().beat.elapsed();
        (silent > STALLED).then_some(silent)
    }
}

/// Longer than any flush of a disk that can still be used.
const STALLED: Duration = Duration::from_secs(60);
