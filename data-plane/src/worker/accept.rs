//! Accepts connections of one listener and begins to serve them.
//!
//! Apart from the main loop, so that a port can be opened and closed while others go on. The
//! raw connection passes `Server::share` before anything else is done with it: there it may be
//! given to another thread.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
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

use super::{
    Port,
    peers::{Given, Sharing},
};
use crate::front;
use crate::listen::BACKLOG;
use crate::message::{Client, Listener};
use crate::protocol::Scheme;
use crate::proxy::Proxy;
use crate::thread::Thread;
use crate::tls::Tls;

/// Serves accepted connections on this thread.
#[derive(Debug)]
pub(super) struct Server {
    thread: Rc<Thread>,
    proxy: Rc<Proxy>,
    tls: Arc<Tls>,
    /// None if this is the only thread.
    sharing: Option<Rc<Sharing>>,
}

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
        sockets: Vec<TcpListener>,
    ) -> io::Result<Self> {
        let sockets = Queues::new(sockets)?;
        let listener = server.listener(&port, false);
        let (closing, told) = oneshot::channel();
        let sockets = (sockets, port.clone());
        let accepting = accept(Rc::clone(server), sockets, Rc::clone(&listener), told);
        server.thread.tasks.spawn(accepting);
        Ok(Self {
            port,
            listener,
            closing,
        })
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

async fn accept(
    server: Rc<Server>,
    (mut queues, port): (Queues, Port),
    listener: Rc<Listener>,
    mut told: oneshot::Receiver<Closed>,
) {
    let closed = loop {
        let accepted = tokio::select! {
            biased;
            closed = &mut told => break closed,
            accepted = queues.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => server.share(stream, address, &port, &listener),
            // Out of descriptors or memory, most likely: what is open goes on.
            Err(error) => {
                tracing::warn!(listener = %listener.name, "accept: {error}");
                tokio::select! {
                    biased;
                    closed = &mut told => break closed,
                    () = sleep(PAUSE) => {}
                }
            }
        }
    };
    // The kernel resets whatever waits when the socket closes. The runtime knows of it once it has
    // looked at the socket. All of it is accepted at once: the runtime would make the task pause
    // in between, which looks like an empty queue.
    yield_now().await;
    for _ in 0..queues.sockets.len() * usize::from(BACKLOG) {
        match unconstrained(queues.accept()).now_or_never() {
            Some(Ok((stream, address))) => server.keep(stream, address, &listener),
            // One that has gone away again, perhaps.
            Some(Err(_)) => {}
            None => break,
        }
    }
    drop(queues);
    if let Ok(closed) = closed {
        // The thread may have ended meanwhile.
        let _gone = closed.send(());
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

impl Server {
    pub(super) fn new(
        thread: Rc<Thread>,
        proxy: Rc<Proxy>,
        tls: Arc<Tls>,
        sharing: Option<Sharing>,
    ) -> Self {
        Self {
            thread,
            proxy,
            tls,
            sharing: sharing.map(Rc::new),
        }
    }

    /// Serves a connection, or gives it to a thread that has fewer.
    fn share(&self, stream: TcpStream, address: SocketAddr, port: &Port, listener: &Rc<Listener>) {
        let Some(sharing) = &self.sharing else {
            return self.admit(stream, address, listener);
        };
        let Some(place) = sharing.place() else {
            return self.admit(stream, address, listener);
        };
        match stream.into_std() {
            Ok(stream) => {
                place.send(Given {
                    stream,
                    address,
                    port: port.clone(),
                });
                self.thread.metrics.connections_given.add(1);
            }
            Err(error) => {
                tracing::warn!(listener = %listener.name, "a connection is lost: {error}");
            }
        }
    }

    /// Serves a connection here, whoever else has fewer.
    fn keep(&self, stream: TcpStream, address: SocketAddr, listener: &Rc<Listener>) {
        if let Some(sharing) = &self.sharing {
            sharing.keep();
        }
        self.admit(stream, address, listener);
    }

    /// Serves a connection that another thread has accepted, and counted here.
    pub(super) fn take(&self, given: Given, find: impl FnOnce(&Port) -> Option<Rc<Listener>>) {
        let Given {
            stream,
            address,
            port,
        } = given;
        // Whoever was accepted as the listener closed is served as the last of it.
        let listener = find(&port).unwrap_or_else(|| self.listener(&port, true));
        match TcpStream::from_std(stream) {
            Ok(stream) => self.admit(stream, address, &listener),
            Err(error) => {
                drop(self.sharing.clone().map(Shared));
                tracing::warn!(listener = %port.name, "a connection is lost: {error}");
            }
        }
    }

    fn listener(&self, port: &Port, closing: bool) -> Rc<Listener> {
        Rc::new(Listener {
            name: Arc::clone(&port.name),
            port: port.number,
            scheme: port.scheme,
            metrics: self.thread.metrics.add_listener(&port.name),
            closing: closing.into(),
        })
    }

    /// Begins to serve a connection that is counted, unless there are too many.
    fn admit(&self, stream: TcpStream, address: SocketAddr, listener: &Rc<Listener>) {
        let shared = self.sharing.clone().map(Shared);
        let thread = &self.thread;
        if thread.drain.open() >= thread.limits.client.connections_per_thread {
            thread.metrics.connections_shed.add(1);
            return;
        }
        // A connection that is gone already is found to be so by its first read.
        let _gone = stream.set_nodelay(true);
        let listener = Rc::clone(listener);
        let proxy = Rc::clone(&self.proxy);
        let scheme = listener.scheme;
        let open = thread.drain.enter();
        let client = Rc::new(Client::new(
            address,
            Rc::clone(&listener),
            Rc::clone(thread),
        ));
        let counted = (Counted::new(listener), open, shared);
        match scheme {
            Scheme::Http => thread.tasks.spawn(async move {
                front::serve(stream, None, client, proxy).await;
                drop(counted);
            }),
            Scheme::Https => {
                let tls = Arc::clone(&self.tls);
                thread.tasks.spawn(async move {
                    // Of which the connection keeps nothing afterwards.
                    let accepting = tls.accept(stream, &client, || proxy.certificates());
                    let accepted = Box::pin(accepting).await;
                    if let Some((stream, agreed)) = accepted {
                        front::serve(stream, Some(agreed), client, proxy).await;
                    }
                    drop(counted);
                })
            }
        };
    }
}

/// A connection's place in what the threads see of each other.
struct Shared(Rc<Sharing>);

impl Drop for Shared {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Counts a connection, however it ends.
struct Counted(Rc<Listener>);

impl Counted {
    fn new(listener: Rc<Listener>) -> Self {
        listener.metrics.connections.add(1);
        listener.metrics.connections_open.add(1);
        Self(listener)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics.connections_open.add(-1);
    }
}

/// Before accepting again after an error.
const PAUSE: Duration = Duration::from_millis(100);
