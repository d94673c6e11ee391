//! Who sent a request, and by which door it came.
//!
//! Apart from the head, because it holds for a whole connection: what we tell upstreams about
//! the client is written once, not per request.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
};

use crate::drain::Phase;
use crate::metrics::ListenerMetrics;
use crate::protocol::Scheme;
use crate::snapshot::Terms;
use crate::thread::Thread;

/// The client's end of one connection.
#[derive(Debug)]
pub struct Client {
    pub address: SocketAddr,
    pub listener: Rc<Listener>,
    pub thread: Rc<Thread>,
    /// Header fields that tell the upstream about the client, ready to be sent. They are kept
    /// apart from the client's own fields, so that nothing it sends can displace them.
    pub forwarded: Vec<u8>,
}

impl Client {
    pub fn new(address: SocketAddr, listener: Rc<Listener>, thread: Rc<Thread>) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let ip = address.ip();
        let (scheme, port) = (listener.scheme.as_str(), listener.port);
        let forwarded = format!(
            "x-forwarded-for: {ip}\r\nx-real-ip: {ip}\r\n\
             x-forwarded-proto: {scheme}\r\nx-forwarded-port: {port}\r\n"
        );
        Self {
            address,
            listener,
            thread,
            forwarded: forwarded.into_bytes(),
        }
    }

    /// Whether the connection is to end as soon as it has nothing to finish.
    pub fn is_leaving(&self) -> bool {
        self.listener.is_leaving(&self.thread)
    }
}

/// One thread's part of a listener.
#[derive(Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub port: u16,
    pub scheme: Scheme,
    pub metrics: Arc<ListenerMetrics>,
    /// Accepts no more; its connections end when they can.
    pub closing: Cell<bool>,
    /// On what terms those are taken that are accepted from now on.
    pub terms: RefCell<Terms>,
}

impl Listener {
    /// Whether its connections are to end as soon as they have nothing to finish.
    pub fn is_leaving(&self, thread: &Thread) -> bool {
        self.closing.get() || thread.drain.phase() > Phase::Open
    }
}
