//! One thread's connections to one endpoint.
//!
//! Apart from the table of pools: an endpoint is an address *and* who answers there, so that an
//! address that is used again by another Pod never gets a connection of the old one.

use std::{cell::RefCell, rc::Rc};

use smallvec::SmallVec;

use super::{ConnectError, Connection, Permit, connect, permit::Count, socket::Socket};
use crate::active::Endpoint;
use crate::clock::Ticks;
use crate::thread::Thread;

/// Connections to one endpoint, in use or not.
#[derive(Debug)]
pub struct Pool {
    pub endpoint: Endpoint,
    thread: Rc<Thread>,
    open: Count,
    /// The one used last is at the end.
    idle: RefCell<SmallVec<[Idle; 1]>>,
}

#[derive(Debug)]
struct Idle {
    socket: Socket,
    until: Ticks,
}

impl Pool {
    pub(super) fn new(endpoint: Endpoint, thread: Rc<Thread>) -> Rc<Self> {
        Rc::new(Self {
            endpoint,
            thread,
            open: Count::default(),
            idle: RefCell::new(SmallVec::new()),
        })
    }

    /// An open connection that nobody uses, if there is one. `ask` the kernel whether it is
    /// open still, for a request that could not be repeated.
    pub fn take(&self, ask: bool) -> Option<Rc<Connection>> {
        loop {
            let idle = self.idle.borrow_mut().pop()?;
            if idle.socket.is_quiet() && (!ask || idle.socket.is_surely_quiet()) {
                self.thread.metrics.upstream.reused.add(1);
                return Some(Connection::new(idle.socket, &self.thread));
            }
        }
    }

    /// Connections that are open or being made.
    pub(super) fn open(&self) -> &Count {
        &self.open
    }

    /// Makes a connection.
    pub async fn connect(self: &Rc<Self>, permit: Permit) -> Result<Rc<Connection>, ConnectError> {
        let metrics = &self.thread.metrics.upstream;
        let patience = self.thread.limits.upstream.connect;
        match connect(self.endpoint.address, patience).await {
            Ok(stream) => {
                metrics.connects.add(1);
                let socket = Socket::new(stream, self, permit);
                Ok(Connection::new(socket, &self.thread))
            }
            Err(error) => {
                metrics.connect_failures.add(1);
                Err(error)
            }
        }
    }

    /// Takes back a connection's socket, which can be used again.
    pub(super) fn put(&self, socket: Socket) {
        let limits = &self.thread.limits.upstream;
        let mut idle = self.idle.borrow_mut();
        if idle.len() < limits.idle_per_endpoint {
            let until = self.thread.clock.ticks().after(limits.idle);
            idle.push(Idle { socket, until });
        }
    }

    /// Closes what has not been used for long or has been closed by the upstream.
    pub(super) fn sweep(&self, now: Ticks) {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|idle| idle.until > now && idle.socket.is_quiet());
    }

    /// When the connection that has been unused for longest is to be closed.
    pub(super) fn oldest(&self) -> Option<Ticks> {
        Some(self.idle.borrow().first()?.until)
    }

    /// Closes what is to be closed by then at the latest.
    pub(super) fn close_until(&self, last: Ticks) {
        self.idle.borrow_mut().retain(|idle| idle.until > last);
    }
}
