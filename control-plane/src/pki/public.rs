//! A certificate as text that may be shown to everyone.
//!
//! Apart, because what is published comes from where keys lie, too, and from people who paste:
//! only what was read as a certificate is written again, and never the text that it came in.

use pem::{EncodeConfig, LineEnding, Pem};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// The certificate of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Public(CertificateDer<'static>);

impl Public {
    /// Reads text that is one certificate (PEM) of an authority and nothing else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let found = Self::find(text)?;
        (squeezed(text) == squeezed(&found.pem())).then_some(found)
    }

    /// The first certificate (PEM) in a text, whatever else is there.
    pub(super) fn find(text: &str) -> Option<Self> {
        let found = Self(CertificateDer::from_pem_slice(text.as_bytes()).ok()?);
        found.parsed()?.is_ca().then_some(found)
    }

    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// As text, which ends with a line.
    pub(super) fn pem(&self) -> String {
        let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
        pem::encode_config(&Pem::new(LABEL, &*self.0), config)
    }

    /// Whether it is of this public key (SubjectPublicKeyInfo, DER).
    pub(super) fn is_of(&self, key: &[u8]) -> bool {
        let parsed = self.parsed();
        parsed.is_some_and(|parsed| parsed.public_key().raw == key)
    }

    /// None if anything follows it: that would be published, too.
    fn parsed(&self) -> Option<X509Certificate<'_>> {
        let (rest, parsed) = X509Certificate::from_der(&self.0).ok()?;
        rest.is_empty().then_some(parsed)
    }
}

/// Without the spaces and ends of lines, which editors change.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

const LABEL: &str = "CERTIFICATE";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;
    use crate::pki::make;

    #[test]
    fn only_a_certificate_alone_is_read_and_only_it_is_written() {
        let (certificate, key) = make(Timestamp(1_760_000_000_000)).unwrap();
        let read = Public::read(&certificate).unwrap();
        assert_eq!(read.pem(), certificate);
        let edited = format!("\n{}\r\n", certificate.trim_end().replace('\n', "\r\n"));
        assert_eq!(Public::read(&edited).as_ref(), Some(&read));
        for text in [
            String::new(),
            key.clone(),
            format!("{certificate}{key}"),
            format!("{key}{certificate}"),
            format!("{certificate}{certificate}"),
            format!("a note\n{certificate}"),
            format!("{certificate}a note"),
        ] {
            assert_eq!(Public::read(&text), None, "{text}");
        }
        let found = Public::find(&format!("{key}{certificate}")).unwrap();
        assert_eq!(found.pem(), certificate);
    }

    #[test]
    fn a_certificate_with_a_tail_is_none() {
        let (certificate, key) = make(Timestamp(1_760_000_000_000)).unwrap();
        let mut der = Public::read(&certificate).unwrap().der().to_vec();
        der.extend(key.bytes());
        let tailed = Public(der.into()).pem();
        assert_eq!(Public::find(&tailed), None);
    }
}
