//! Tickets by which clients resume sessions, each good for the terms and the certificate that it was
//! given with.
//!
//! Apart from what encrypts them, which is another from time to time. rustls asks only whether the server name and the cipher suite are
//! the same: so a client that resumes again and again would never see a certificate that was
//! replaced, and what it believed in once would be believed for good.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;

use super::ticketer::{SPAN, Ticketer};
use crate::snapshot::{BundleName, TlsPolicy};

/// The tickets of one certificate by one policy.
#[derive(Debug)]
pub(super) struct Tickets {
    context: Box<[u8]>,
    ticketer: Arc<ArcSwap<Ticketer>>,
}

impl Tickets {
    pub(super) fn new(
        policy: &TlsPolicy,
        certificate: BundleName,
        ticketer: &Arc<ArcSwap<Ticketer>>,
    ) -> Self {
        Self {
            context: [certificate.as_bytes(), &*policy.identity()]
                .concat()
                .into(),
            ticketer: Arc::clone(ticketer),
        }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// In seconds; one may be good for less.
    fn lifetime(&self) -> u32 {
        u32::try_from(2 * SPAN).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.ticketer.load().encrypt(&self.context, session)
    }

    /// None of a ticket of other terms or of another certificate, so that the handshake is a full one.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.ticketer.load().decrypt(&self.context, ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::active::TicketSecrets;

    #[test]
    fn a_ticket_is_good_for_its_certificate_and_its_policy_alone() {
        let ticketer = Ticketer::of(&TicketSecrets::default()).unwrap();
        let ticketer = Arc::new(ArcSwap::from_pointee(ticketer));
        let of = |only_13, suites: &[u16], text: &[u8]| {
            let policy = TlsPolicy::new(only_13, suites, true).unwrap();
            Tickets::new(&policy, BundleName::of(text), &ticketer)
        };
        let ticket = of(false, &[], b"one").encrypt(b"a session").unwrap();
        let same = of(false, &[], b"one").decrypt(&ticket);
        assert_eq!(same.as_deref(), Some(&b"a session"[..]));
        for other in [
            of(false, &[], b"other"),
            of(true, &[], b"one"),
            of(false, &[0x1301], b"one"),
        ] {
            assert_eq!(other.decrypt(&ticket), None);
        }
    }
}
