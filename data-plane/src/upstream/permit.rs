//! Leave to have one more connection to an upstream.
//!
//! Apart from the pools: a connection counts from before it is made, so that an endpoint that
//! does not answer holds no more sockets than one that does.

use std::{
    cell::Cell,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use crate::thread::Thread;

/// Connections that are open or being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Count(Rc<Cell<usize>>);

impl Count {
    pub(super) fn get(&self) -> usize {
        self.0.get()
    }

    fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    fn subtract(&self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Connections of all threads that are open or being made. It moves when a connection is made or
/// ends, and with no request.
#[derive(Clone, Debug, Default)]
pub struct ProcessConnections(Arc<AtomicUsize>);

impl ProcessConnections {
    pub(super) fn get(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Counts one more, unless there are so many.
    fn add(&self, most: usize) -> Option<()> {
        let more = |open| (open < most).then_some(open + 1);
        self.0.fetch_update(Relaxed, Relaxed, more).ok().map(drop)
    }

    fn subtract(&self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// One connection's place in every count that bounds it, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    of_endpoint: Count,
    of_thread: Count,
    of_process: ProcessConnections,
    thread: Rc<Thread>,
}

impl Permit {
    /// None if the process has no room; of the others the caller knows that they have.
    pub(super) fn new(
        of_endpoint: &Count,
        of_thread: &Count,
        of_process: &ProcessConnections,
        thread: &Rc<Thread>,
    ) -> Option<Self> {
        of_process.add(thread.limits.upstream.connections_per_process)?;
        of_endpoint.add();
        of_thread.add();
        thread.metrics.upstream.open.add(1);
        Some(Self {
            of_endpoint: of_endpoint.clone(),
            of_thread: of_thread.clone(),
            of_process: of_process.clone(),
            thread: Rc::clone(thread),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of_endpoint.subtract();
        self.of_thread.subtract();
        self.of_process.subtract();
        self.thread.metrics.upstream.open.add(-1);
    }
}
