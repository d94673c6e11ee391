//! Begins to serve what was accepted, here or by another thread.
//!
//! Apart from accepting. The raw connection passes `Server::share` before anything else is done
//! with it: there it may be given to another thread.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use tokio::net::TcpStream;

use super::{
    Port,
    peers::{Given, Sharing},
};
use crate::front;
use crate::message::{Client, Listener};
use crate::proxy::Proxy;
use crate::thread::Thread;

/// Serves accepted connections on this thread.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) thread: Rc<Thread>,
    proxy: Rc<Proxy>,
    /// None if this is the only thread.
    sharing: Option<Rc<Sharing>>,
}

impl Server {
    pub(super) fn new(thread: Rc<Thread>, proxy: Rc<Proxy>, sharing: Option<Sharing>) -> Self {
        Self {
            thread,
            proxy,
            sharing: sharing.map(Rc::new),
        }
    }

    /// Serves a connection, or gives it to a thread that has fewer.
    pub(super) fn share(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        port: &Port,
        listener: &Rc<Listener>,
    ) {
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
    pub(super) fn keep(&self, stream: TcpStream, address: SocketAddr, listener: &Rc<Listener>) {
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

    pub(super) fn listener(&self, port: &Port, closing: bool) -> Rc<Listener> {
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
        let open = thread.drain.enter();
        let client = Rc::new(Client::new(
            address,
            Rc::clone(&listener),
            Rc::clone(thread),
        ));
        thread.tasks.spawn(async move {
            let _counted = Counted::new(listener);
            front::serve(stream, client, proxy).await;
            drop((open, shared));
        });
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
