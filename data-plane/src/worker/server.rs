//! Begins to serve what was accepted, here or by another thread.
//!
//! Apart from accepting. The raw connection passes `Server::share` before anything else is done
//! with it: there it may be given to another thread.

use std::{rc::Rc, sync::Arc};

use tokio::net::TcpStream;

use super::{
    Port,
    peers::{Caller, Given, Sharing},
};
use crate::front;
use crate::message::{Client, Listener, Transport as _};
use crate::protocol::Scheme;
use crate::proxy::Proxy;
use crate::proxy_protocol::{self, Beginning};
use crate::snapshot::Terms;
use crate::thread::Thread;
use crate::tls::Tls;

/// Serves accepted connections on this thread.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) thread: Rc<Thread>,
    proxy: Rc<Proxy>,
    tls: Arc<Tls>,
    /// None if this is the only thread.
    sharing: Option<Rc<Sharing>>,
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
    pub(super) fn share(
        &self,
        stream: TcpStream,
        caller: Caller,
        port: &Port,
        listener: &Rc<Listener>,
    ) {
        let Some(sharing) = &self.sharing else {
            return self.admit(stream, caller, listener);
        };
        let Some(place) = sharing.place() else {
            return self.admit(stream, caller, listener);
        };
        match stream.into_std() {
            Ok(stream) => {
                place.send(Given {
                    stream,
                    caller,
                    port: port.clone(),
                    terms: listener.terms.borrow().clone(),
                });
                self.thread.metrics.connections_given.add(1);
            }
            Err(error) => {
                tracing::warn!(listener = %listener.name, "a connection is lost: {error}");
            }
        }
    }

    /// Serves a connection here, whoever else has fewer.
    pub(super) fn keep(&self, stream: TcpStream, caller: Caller, listener: &Rc<Listener>) {
        if let Some(sharing) = &self.sharing {
            sharing.keep();
        }
        self.admit(stream, caller, listener);
    }

    /// Serves a connection that another thread has accepted, and counted here.
    pub(super) fn take(&self, given: Given, find: impl FnOnce(&Port) -> Option<Rc<Listener>>) {
        let Given {
            stream,
            caller,
            port,
            terms,
        } = given;
        // Whoever was accepted as the listener closed is served as the last of it.
        let listener = find(&port).unwrap_or_else(|| self.listener(&port, terms, true));
        match TcpStream::from_std(stream) {
            Ok(stream) => self.admit(stream, caller, &listener),
            Err(error) => {
                drop(self.sharing.clone().map(Shared));
                tracing::warn!(listener = %port.name, "a connection is lost: {error}");
            }
        }
    }

    pub(super) fn listener(&self, port: &Port, terms: Terms, closing: bool) -> Rc<Listener> {
        Rc::new(Listener {
            name: Arc::clone(&port.name),
            port: port.number,
            scheme: port.scheme,
            metrics: self.thread.metrics.add_listener(&port.name),
            closing: closing.into(),
            terms: terms.into(),
        })
    }

    /// Begins to serve a connection that is counted, unless there are too many.
    fn admit(&self, stream: TcpStream, caller: Caller, listener: &Rc<Listener>) {
        let shared = self.sharing.clone().map(Shared);
        let thread = &self.thread;
        if thread.drain.open() >= thread.limits.client.connections_per_thread {
            thread.metrics.connections_shed.add(1);
            return;
        }
        // A connection that is gone already is found to be so by its first read.
        let _gone = stream.set_nodelay(true);
        let connection = Connection {
            listener: Rc::clone(listener),
            thread: Rc::clone(thread),
            proxy: Rc::clone(&self.proxy),
            tls: Arc::clone(&self.tls),
        };
        let open = thread.drain.enter();
        thread.tasks.spawn(async move {
            let _counted = Counted::new(Rc::clone(&connection.listener));
            connection.serve(stream, caller).await;
            drop((open, shared));
        });
    }
}

/// What one connection is served with.
struct Connection {
    listener: Rc<Listener>,
    thread: Rc<Thread>,
    proxy: Rc<Proxy>,
    tls: Arc<Tls>,
}

impl Connection {
    async fn serve(self, mut stream: TcpStream, caller: Caller) {
        let mut address = caller.address;
        if caller.proxied {
            match proxy_protocol::read(&mut stream, &self.listener, &self.thread).await {
                Beginning::Header(client) => address = client.unwrap_or(address),
                Beginning::Silence => return,
                Beginning::Bad(reason) => {
                    self.listener.metrics.bad_header(reason);
                    let listener = &*self.listener.name;
                    tracing::debug!(listener, from = %address, %reason, "no PROXY header");
                    return stream.reset();
                }
            }
        }
        let Self {
            listener,
            thread,
            proxy,
            tls,
        } = self;
        let scheme = listener.scheme;
        let client = Rc::new(Client::new(address, listener, thread));
        match scheme {
            Scheme::Http => front::serve(stream, None, client, proxy).await,
            Scheme::Https => {
                // Of which the connection keeps nothing afterwards.
                let accepting = tls.accept(stream, &client, &*proxy);
                if let Some((stream, agreed)) = Box::pin(accepting).await {
                    front::serve(stream, Some(agreed), client, proxy).await;
                }
            }
        }
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
