//! Names that wait, each once, in the order in which they came.

use std::collections::{BTreeSet, VecDeque};

use crate::model::key::ObjectKey;

#[derive(Debug, Default)]
pub(super) struct Queue {
    order: VecDeque<ObjectKey>,
    /// The same, to be found.
    waiting: BTreeSet<ObjectKey>,
}

impl Queue {
    /// Adds a name behind all others; false if it waits already.
    pub(super) fn push(&mut self, key: &ObjectKey) -> bool {
        let new = self.waiting.insert(key.clone());
        if new {
            self.order.push_back(key.clone());
        }
        new
    }

    pub(super) fn pop(&mut self) -> Option<ObjectKey> {
        let key = self.order.pop_front()?;
        self.waiting.remove(&key);
        Some(key)
    }
}
