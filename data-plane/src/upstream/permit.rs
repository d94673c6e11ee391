//! Leave to have one more connection to an upstream.
//!
//! Apart from the pools: a connection counts from before it is made, so that an endpoint that
//! does not answer holds no more sockets than one that does.

use std::{cell::Cell, rc::Rc};

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

/// One connection's place in every count that bounds it, until this is dropped.
#[derive(Debug)]
pub struct Permit {
    of_endpoint: Count,
    of_thread: Count,
    thread: Rc<Thread>,
}

impl Permit {
    pub(super) fn new(of_endpoint: &Count, of_thread: &Count, thread: &Rc<Thread>) -> Self {
        of_endpoint.add();
        of_thread.add();
        thread.metrics.upstream.open.add(1);
        Self {
            of_endpoint: of_endpoint.clone(),
            of_thread: of_thread.clone(),
            thread: Rc::clone(thread),
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.of_endpoint.subtract();
        self.of_thread.subtract();
        self.thread.metrics.upstream.open.add(-1);
    }
}
