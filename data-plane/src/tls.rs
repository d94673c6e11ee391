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

use tokio::sync::futures::Notified;

pub use stream::TlsStream;
pub use ticketer::NoChance;

use policy::Base;
use ticketer::Ticketer;

use crate::active::{Certificates, TicketSecrets};
use crate::aside::Aside;
use crate::clock;
use crate::recent::Recent;
use crate::snapshot::{KeyAuthorization, TlsPolicy};

/// What is shown to clients.
pub trait Shows {
    /// What is shown now.
    fn certificates(&self) -> Certificates;

    /// What tickets are made by now.
    fn ticket_secrets(&self) -> TicketSecrets;

    /// Resolves when what is shown is another than as this was called.
    fn changed(&self) -> Notified<'_>;

    /// What a CA is answered by that asks for this host, in canonical form (RFC 8737).
    fn challenge(&self, host: &str) -> impl Future<Output = Option<KeyAuthorization>>;
}

/// What all threads of a process do handshakes by.
#[derive(Debug)]
pub struct Tls {
    /// Sessions are with the clients, in tickets (RFC 5077; RFC 8446, 4.6.1): threads have no store to
    /// share. This makes those that this process alone can read, while there is nothing to share.
    alone: Arc<Ticketer>,
    /// For policies that listeners have, or had of late.
    bases: Recent<Base>,
    aside: Aside,
}

impl Tls {
    /// Signatures by RSA are made by `aside`.
    pub fn new(aside: Aside) -> Result<Arc<Self>, TlsError> {
        let tls = Self {
            alone: Arc::new(Ticketer::alone(clock::wall)?),
            bases: Recent::default(),
            aside,
        };
        tls.base(&TlsPolicy::default(), &TicketSecrets::default())?;
        Ok(Arc::new(tls))
    }

    /// What handshakes by this policy share whose tickets are made so, made by the first.
    fn base(
        &self,
        policy: &TlsPolicy,
        secrets: &TicketSecrets,
    ) -> Result<Arc<Base>, rustls::Error> {
        let known = |base: &Base| base.secrets.are(secrets) && base.policy == *policy;
        if let Some(base) = self.bases.find(known) {
            return Ok(base);
        }
        let shared = Ticketer::shared(secrets, clock::wall).map(Arc::new);
        let ticketer = shared.unwrap_or_else(|| Arc::clone(&self.alone));
        let base = Base::new(policy.clone(), secrets.clone(), ticketer)?;
        Ok(self.bases.keep(base))
    }
}

/// Nobody can be served by TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    Tickets(#[from] NoChance),
    #[error(transparent)]
    Policy(#[from] rustls::Error),
}

/// Names of ALPN (RFC 7301).
const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";
