//! TLS towards clients (RFC 8446, RFC 5246): from a raw connection to one that HTTP is spoken on.
//!
//! Apart from HTTP, which cannot tell the difference, and from what is served by, of which it only
//! sees the certificates. A stream of our own over rustls: the client's first message is read
//! before anything is decided by it, signatures that take long leave the thread, and a socket is
//! read into memory of the thread's. Of a connection that is idle rustls keeps about 4 KiB.

mod challenge;
mod failure;
mod handshake;
mod offer;
mod patience;
mod policy;
mod stream;
mod ticketer;
mod tickets;
mod wire;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::futures::Notified;

pub use stream::TlsStream;

use policy::Base;
use ticketer::Ticketer;

use crate::active::{Certificates, TicketSecrets};
use crate::aside::Aside;
use crate::recent::Recent;
use crate::snapshot::{KeyAuthorization, TlsPolicy};

/// What is shown to clients.
pub trait Shows {
    /// What is shown now.
    fn certificates(&self) -> Certificates;

    /// Resolves when that is another than as this was called.
    fn changed(&self) -> Notified<'_>;

    /// What a CA is answered by that asks for this host, in canonical form (RFC 8737).
    fn challenge(&self, host: &str) -> impl Future<Output = Option<KeyAuthorization>>;
}

/// What all threads of a process do handshakes by.
#[derive(Debug)]
pub struct Tls {
    /// Sessions are with the clients, in tickets (RFC 5077; RFC 8446, 4.6.1): threads have no store to
    /// share. By this they are made and read.
    ticketer: Arc<ArcSwap<Ticketer>>,
    /// Those that listeners have, or had of late.
    bases: Recent<Base>,
    aside: Aside,
}

impl Tls {
    /// Signatures by RSA are made by `aside`.
    pub fn new(aside: Aside) -> Result<Arc<Self>, rustls::Error> {
        let ticketer = Ticketer::of(&TicketSecrets::default())?;
        let tls = Self {
            ticketer: Arc::new(ArcSwap::from_pointee(ticketer)),
            bases: Recent::default(),
            aside,
        };
        tls.base(&TlsPolicy::default())?;
        Ok(Arc::new(tls))
    }

    /// Makes tickets by these from now on, and reads no others.
    pub fn make_tickets_by(&self, secrets: &TicketSecrets) {
        if self.ticketer.load().is_of(secrets) {
            return;
        }
        match Ticketer::of(secrets) {
            Ok(ticketer) => self.ticketer.store(Arc::new(ticketer)),
            Err(error) => tracing::error!(%error, "session tickets are made as before"),
        }
    }

    /// What handshakes by this policy share, made by the first.
    fn base(&self, policy: &TlsPolicy) -> Result<Arc<Base>, rustls::Error> {
        match self.bases.find(|base| base.policy == *policy) {
            Some(base) => Ok(base),
            None => Ok(self.bases.keep(Base::new(policy.clone(), &self.ticketer)?)),
        }
    }
}

/// Names of ALPN (RFC 7301).
const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";
