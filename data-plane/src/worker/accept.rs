//! Accepts connections of one listener.
//!
//! Apart from the main loop, so that a port can be opened and closed while others go on.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use futures::{FutureExt, future::poll_fn};
use tokio::{
    net::TcpStream,
    sync::oneshot,
    task::{coop::unconstrained, yield_now},
    time::sleep,
};

use super::{Port, peers::Caller, server::Server};
use crate::listen::BACKLOG;
use crate::message::Listener;
use crate::snapshot::Terms;

/// Accepts for one listener until it is told to close.
#[derive(Debug)]
pub(super) struct Acceptor {
    port: Port,
    listener: Rc<Listener>,
    closing: oneshot::Sender<Closed>,
}

/// Told once the socket is closed.
type Closed = oneshot::Sender<()>;

impl Acceptor {
    pub(super) fn start(
        server: &Rc<Server>,
        port: Port,
        terms: Terms,
        sockets: Vec<TcpListener>,
    ) -> io::Result<Self> {
        let queues = Queues::new(sockets)?;
        let listener = server.listener(&port, terms, false);
        let (closing, told) = oneshot::channel();
        let accepting = Accepting {
            server: Rc::clone(server),
            port: port.clone(),
            listener: Rc::clone(&listener),
            queues,
        };
        server.thread.tasks.spawn(accepting.run(told));
        Ok(Self {
            port,
            listener,
            closing,
        })
    }

    /// From the next connection on these are the terms.
    pub(super) fn set_terms(&self, terms: Terms) {
        self.listener.terms.replace(terms);
    }

    /// This thread's part of the listener, if the port is its.
    pub(super) fn listener_of(&self, port: &Port) -> Option<Rc<Listener>> {
        (self.port == *port).then(|| Rc::clone(&self.listener))
    }

    /// Whoever is connected is not cut; who waits to be accepted still is. Says so when the
    /// socket is closed and the address is free.
    pub(super) fn close(self, closed: Closed) {
        self.listener.closing.set(true);
        // Nobody is told by an acceptor that has panicked, and its socket is closed.
        let _panicked = self.closing.send(closed);
    }
}

/// What accepts, until it is told to close.
#[derive(Debug)]
struct Accepting {
    server: Rc<Server>,
    port: Port,
    listener: Rc<Listener>,
    queues: Queues,
}

impl Accepting {
    async fn run(mut self, mut told: oneshot::Receiver<Closed>) {
        let closed = loop {
            let accepted = tokio::select! {
                biased;
                closed = &mut told => break closed,
                accepted = self.queues.accept() => accepted,
            };
            match accepted {
                Ok((stream, address)) => {
                    let caller = self.caller(address);
                    self.server
                        .share(stream, caller, &self.port, &self.listener);
                }
                // Out of descriptors or memory, most likely: what is open goes on.
                Err(error) => {
                    tracing::warn!(listener = %self.listener.name, "accept: {error}");
                    tokio::select! {
                        biased;
                        closed = &mut told => break closed,
                        () = sleep(PAUSE) => {}
                    }
                }
            }
        };
        self.accept_last().await;
        drop(self);
        if let Ok(closed) = closed {
            // The thread may have ended meanwhile.
            let _gone = closed.send(());
        }
    }

    /// The kernel resets whatever waits when the socket closes. The runtime knows of it once it
    /// has looked at the socket. All of it is accepted at once: the runtime would make the task
    /// pause in between, which looks like an empty queue.
    async fn accept_last(&mut self) {
        yield_now().await;
        for _ in 0..self.queues.sockets.len() * usize::from(BACKLOG) {
            match unconstrained(self.queues.accept()).now_or_never() {
                Some(Ok((stream, address))) => {
                    let caller = self.caller(address);
                    self.server.keep(stream, caller, &self.listener);
                }
                // One that has gone away again, perhaps.
                Some(Err(_)) => {}
                None => break,
            }
        }
    }

    fn caller(&self, address: SocketAddr) -> Caller {
        Caller {
            address,
            proxied: self.listener.terms.borrow().sources.contains(address.ip()),
        }
    }
}

/// The sockets of one listener that this thread accepts from: one of its own, and more if the
/// process that they come from had more threads.
#[derive(Debug)]
struct Queues {
    sockets: Vec<tokio::net::TcpListener>,
    /// Which is looked at first, so that a busy one keeps no other waiting.
    first: usize,
}

impl Queues {
    fn new(sockets: Vec<TcpListener>) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(tokio::net::TcpListener::from_std);
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
            first: 0,
        })
    }

    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        poll_fn(|cx| {
            for place in 0..self.sockets.len() {
                let place = (self.first + place) % self.sockets.len();
                if let Some(socket) = self.sockets.get(place)
                    && let Poll::Ready(accepted) = socket.poll_accept(cx)
                {
                    self.first = place + 1;
                    return Poll::Ready(accepted);
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Before accepting again after an error.
const PAUSE: Duration = Duration::from_millis(100);
