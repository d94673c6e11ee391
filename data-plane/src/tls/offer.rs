//! What a client can take, and the certificate that it is shown.
//!
//! Apart from the handshake: this is a choice and nothing else.

use std::sync::Arc;

use rustls::{
    CipherSuite, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, server::ClientHello,
    sign::CertifiedKey,
};

use crate::active::Certificates;
use crate::bundle::Bundle;
use crate::metrics::Handshake;

/// The part of a client's first message that a certificate is chosen by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    /// The server name (RFC 6066, 3), in lower case.
    name: Option<&'a str>,
    schemes: &'a [SignatureScheme],
    suites: &'a [CipherSuite],
}

impl<'a> Offer<'a> {
    pub(super) fn of(hello: &'a ClientHello<'_>) -> Self {
        Self {
            name: hello.server_name(),
            schemes: hello.signature_schemes(),
            suites: hello.cipher_suites(),
        }
    }

    /// The certificate to show: the first that the client can take. If it can take none, the first
    /// of all, so that what it has not in common is found and told by the handshake itself.
    pub(super) fn choose<'c>(
        &self,
        certificates: &'c Certificates,
        known: &[SupportedCipherSuite],
    ) -> Result<(&'c Bundle, &'c Arc<CertifiedKey>), Handshake> {
        let name = self.name.ok_or(Handshake::NoName)?;
        let name = name.strip_suffix('.').unwrap_or(name);
        let (mut first, mut unusable) = (None, false);
        for shown in certificates.candidates(name) {
            let Some(key) = shown.key() else {
                unusable = true;
                continue;
            };
            if self.takes(key, known) {
                return Ok((&shown.bundle, key));
            }
            first = first.or(Some((&*shown.bundle, key)));
        }
        first.ok_or_else(|| match certificates.awaits(name) {
            _ if unusable => Handshake::NoCertificate,
            true => Handshake::NotYet,
            false => Handshake::UnknownName,
        })
    }

    fn takes(&self, key: &CertifiedKey, known: &[SupportedCipherSuite]) -> bool {
        key.key.choose_scheme(self.schemes).is_some() && self.signs(key.key.algorithm(), known)
    }

    /// Whether a cipher suite that it knows goes with such a key: those of TLS 1.2 name one.
    fn signs(&self, algorithm: SignatureAlgorithm, known: &[SupportedCipherSuite]) -> bool {
        let mut usable = known
            .iter()
            .filter(|suite| suite.usable_for_signature_algorithm(algorithm));
        usable.any(|suite| self.suites.contains(&suite.suite()))
    }
}

#[cfg(test)]
mod tests;
