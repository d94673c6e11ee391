//! Tickets by which clients resume sessions, each good for the certificate that it was given with.
//!
//! Apart from what encrypts them, which is the process's. rustls asks only whether the server name
//! and the cipher suite are the same: so a client that resumes again and again would never see a
//! certificate that was replaced, and what it believed in once would be believed for good.

use std::sync::Arc;

use rustls::server::ProducesTickets;

use crate::snapshot::BundleName;

/// The tickets of one certificate: what is encrypted begins with its bundle's name.
#[derive(Debug)]
pub(super) struct Tickets {
    bundle: BundleName,
    encrypted_by: Arc<dyn ProducesTickets>,
}

impl Tickets {
    pub(super) fn new(bundle: BundleName, encrypted_by: &Arc<dyn ProducesTickets>) -> Self {
        Self {
            bundle,
            encrypted_by: Arc::clone(encrypted_by),
        }
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.encrypted_by.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.encrypted_by.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        let named = [self.bundle.as_bytes(), session].concat();
        self.encrypted_by.encrypt(&named)
    }

    /// None of a ticket of another certificate, so that the handshake is a full one.
    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut named = self.encrypted_by.decrypt(ticket)?;
        let name = self.bundle.as_bytes();
        named.starts_with(name).then(|| named.split_off(name.len()))
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::Ticketer;

    use super::*;

    #[test]
    fn a_ticket_is_good_for_its_certificate_alone() {
        let process = Ticketer::new().unwrap();
        let of = |text: &[u8]| Tickets::new(BundleName::of(text), &process);
        let (one, same, other) = (of(b"one"), of(b"one"), of(b"other"));
        let ticket = one.encrypt(b"a session").unwrap();
        assert_eq!(same.decrypt(&ticket).as_deref(), Some(&b"a session"[..]));
        // Of the same length, so that what is in it alone tells them apart.
        other.encrypt(b"a session").unwrap();
        assert_eq!(other.decrypt(&ticket), None);
        let nameless = process.encrypt(b"").unwrap();
        assert_eq!(one.decrypt(&nameless), None);
    }
}
