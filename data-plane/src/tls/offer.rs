//! What a client can take, and the certificate that it is shown.
//!
//! Apart from the handshake: this is a choice and nothing else.

use std::sync::Arc;

use rustls::{
    CipherSuite, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite, server::ClientHello,
    sign::CertifiedKey,
};

use crate::active::{Certificates, Shown};
use crate::bundle::Bundle;
use crate::metrics::Handshake;

/// The part of a client's first message that a certificate is chosen by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer<'a> {
    /// The server name (RFC 6066, 3), in lower case.
    name: Option<&'a str>,
    schemes: &'a [SignatureScheme],
    suites: &'a [CipherSuite],
    /// The suites that the listener permits.
    known: &'a [SupportedCipherSuite],
}

/// A certificate and its key.
type Chosen<'c> = (&'c Bundle, &'c Arc<CertifiedKey>);

impl<'a> Offer<'a> {
    pub(super) fn of(hello: &'a ClientHello<'_>, known: &'a [SupportedCipherSuite]) -> Self {
        Self {
            name: hello.server_name(),
            schemes: hello.signature_schemes(),
            suites: hello.cipher_suites(),
            known,
        }
    }

    /// The certificate to show: one for the host, or where there is none for it, or no host was said,
    /// one of those of these names.
    pub(super) fn choose<'c>(
        &self,
        certificates: &'c Certificates,
        defaults: &[Arc<str>],
    ) -> Result<Chosen<'c>, Handshake> {
        let found = match self.name {
            Some(name) => self.choose_for(name.strip_suffix('.').unwrap_or(name), certificates),
            None => Err(Handshake::NoName),
        };
        match found {
            Err(Handshake::NoName | Handshake::UnknownName) if !defaults.is_empty() => {
                let (chosen, unusable) = self.first(certificates.of_names(defaults));
                // Those that are named there are, and their keys are to come.
                chosen.ok_or(match unusable {
                    true => Handshake::NoCertificate,
                    false => Handshake::NotYet,
                })
            }
            found => found,
        }
    }

    fn choose_for<'c>(
        &self,
        name: &str,
        certificates: &'c Certificates,
    ) -> Result<Chosen<'c>, Handshake> {
        let (chosen, unusable) = self.first(certificates.candidates(name));
        chosen.ok_or_else(|| match certificates.awaits(name) {
            _ if unusable => Handshake::NoCertificate,
            true => Handshake::NotYet,
            false => Handshake::UnknownName,
        })
    }

    /// The first that the client can take. If it can take none, the first of all, so that what it has
    /// not in common is found and told by the handshake itself. And whether one cannot be used.
    fn first<'c>(
        &self,
        candidates: impl Iterator<Item = &'c Arc<Shown>>,
    ) -> (Option<Chosen<'c>>, bool) {
        let (mut first, mut unusable) = (None, false);
        for shown in candidates {
            let Some(key) = shown.key() else {
                unusable = true;
                continue;
            };
            if self.takes(key) {
                return (Some((&shown.bundle, key)), unusable);
            }
            first = first.or(Some((&*shown.bundle, key)));
        }
        (first, unusable)
    }

    fn takes(&self, key: &CertifiedKey) -> bool {
        key.key.choose_scheme(self.schemes).is_some() && self.signs(key.key.algorithm())
    }

    /// Whether a cipher suite that it knows goes with such a key: those of TLS 1.2 name one.
    fn signs(&self, algorithm: SignatureAlgorithm) -> bool {
        let mut usable = self
            .known
            .iter()
            .filter(|suite| suite.usable_for_signature_algorithm(algorithm));
        usable.any(|suite| self.suites.contains(&suite.suite()))
    }
}

#[cfg(test)]
mod tests;
