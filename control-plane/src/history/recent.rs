//! The few answers about the past that were asked for last.
//!
//! Paging through one asks for it again and again, and folding it anew each time would
//! cost as much as the start of a control plane.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// A handle: clones share what they remember.
#[derive(Debug)]
pub(super) struct Recent<T> {
    /// The one that was remembered last comes first.
    answers: Arc<ArcSwap<Vec<Remembered<T>>>>,
    most: usize,
}

/// With how often the log had begun anew when it was read.
type Remembered<T> = (u64, Arc<T>);

impl<T> Recent<T> {
    /// Remembers so many.
    pub(super) fn of(most: usize) -> Self {
        Self {
            answers: Arc::default(),
            most,
        }
    }

    /// The answer of which this holds.
    pub(super) fn find(&self, restarts: u64, holds: impl Fn(&T) -> bool) -> Option<Arc<T>> {
        let answers = self.answers.load();
        let mut answers = answers.iter().filter(|(of, _)| *of == restarts);
        let found = answers.find(|(_, answer)| holds(answer));
        found.map(|(_, answer)| Arc::clone(answer))
    }

    /// Keeps an answer, and forgets the one that was remembered longest ago.
    pub(super) fn remember(&self, restarts: u64, answer: &Arc<T>) {
        self.answers.rcu(|answers| {
            let kept = answers.iter().take(self.most.saturating_sub(1)).cloned();
            std::iter::once((restarts, Arc::clone(answer)))
                .chain(kept)
                .collect::<Vec<_>>()
        });
    }
}

impl<T> Clone for Recent<T> {
    fn clone(&self) -> Self {
        Self {
            answers: Arc::clone(&self.answers),
            most: self.most,
        }
    }
}
