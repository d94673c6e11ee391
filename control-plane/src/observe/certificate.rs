//! A chain and a key in PEM become a certificate that can be served, or a reason why not.
//!
//! Apart from Secrets, because certificates also come from elsewhere. What a proxy could not use,
//! or a client would not accept, is found here; whether it has expired is not, which takes a clock.

use std::fmt;

use roadstead_matcher::host::HostPattern;
use rustls::Error as TlsError;
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::time::ASN1Time;

use crate::model::bundle::Bundle;
use crate::model::certificate::{Certificate, KeyType};
use crate::model::key::Origin;
use crate::model::object::Spec;
use crate::model::refusal::{Reason, Refusal};
use crate::model::time::Timestamp;

/// What is wrong, and with which of the two. No message has bytes of the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    Chain(String),
    Key(String),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain(message) => write!(f, "chain {message}"),
            Self::Key(message) => write!(f, "key {message}"),
        }
    }
}

impl Problem {
    /// The refusal of an object of this origin.
    pub fn refusal(self, origin: Origin) -> Refusal {
        let (of_files, of_secret, message) = match self {
            Self::Chain(message) => ("certificateFile", "data[tls.crt]", message),
            Self::Key(message) => ("keyFile", "data[tls.key]", message),
        };
        let field = match origin {
            Origin::Configuration => of_files,
            Origin::Folder | Origin::Kubernetes => of_secret,
        };
        Refusal::new(Reason::InvalidCertificate, field, message)
    }
}

/// The same, unless it is a certificate that has expired.
pub(super) fn unexpired(origin: Origin, spec: Spec, now: Timestamp) -> Result<Spec, Refusal> {
    match &spec {
        Spec::Certificate(certificate) if certificate.not_after <= now => {
            let until = certificate.not_after;
            let message = format!("expired on {until}; put one there that is valid");
            Err(Problem::Chain(message).refusal(origin))
        }
        Spec::Certificate(_)
        | Spec::EndpointSlice(_)
        | Spec::Ingress(_)
        | Spec::IngressClass(_)
        | Spec::Managed(_)
        | Spec::Service(_)
        | Spec::TicketSecret(_) => Ok(spec),
    }
}

/// Reads a chain, the server's own certificate first, and its private key, both in PEM (RFC 7468).
pub fn read(chain: &[u8], key: &[u8]) -> Result<(Certificate, Bundle), Problem> {
    let chain = chain_of(chain)?;
    let key = key_of(key)?;
    let Some(leaf) = chain.first().cloned() else {
        return Err(no_certificate());
    };
    let (_, parsed) =
        X509Certificate::from_der(&leaf).map_err(|_| unreadable("the first certificate"))?;
    let names = names(&parsed)?;
    let key_type = key_type(&parsed)?;
    let secret = key.secret_der().to_vec();
    let signing = any_supported_type(&key).map_err(|_| {
        Problem::Key(
            "is of no type that can be used; use ECDSA P-256, P-384, RSA or Ed25519".into(),
        )
    })?;
    match CertifiedKey::new(chain.clone(), signing).keys_match() {
        Ok(()) => {}
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            return Err(Problem::Key(
                "is not the key of the first certificate; give the key that it was issued for, \
                 and the server's own certificate first"
                    .into(),
            ));
        }
        Err(_) => return Err(unreadable("the first certificate")),
    }
    let bundle = Bundle::new(chain.iter().map(|der| der.to_vec()).collect(), secret);
    if bundle.bytes().len() > MAX_BYTES {
        return Err(Problem::Chain(format!(
            "is longer than {} KiB with its key; leave out what is not of the chain",
            MAX_BYTES >> 10
        )));
    }
    let certificate = Certificate {
        bundle: bundle.name(),
        names,
        key_type,
        not_before: timestamp(parsed.validity().not_before),
        not_after: timestamp(parsed.validity().not_after),
        issuer: bounded(&parsed.issuer().to_string()),
        serial: bounded(&parsed.raw_serial_as_string().replace(':', "")),
    };
    Ok((certificate, bundle))
}

fn chain_of(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    if pem.len() > MAX_PEM {
        return Err(Problem::Chain(format!(
            "is longer than {} KiB",
            MAX_PEM >> 10
        )));
    }
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        if chain.len() == MAX_CHAIN {
            return Err(Problem::Chain(format!(
                "has more than {MAX_CHAIN} certificates; leave out what is not of the chain"
            )));
        }
        chain.push(certificate.map_err(|_| unreadable("its PEM"))?);
    }
    if chain.is_empty() {
        return Err(no_certificate());
    }
    Ok(chain)
}

fn key_of(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    if pem.len() > MAX_PEM {
        return Err(Problem::Key(format!(
            "is longer than {} KiB",
            MAX_PEM >> 10
        )));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        Problem::Key(
            "has no private key in PEM that can be read; give one without a passphrase, as in \
             -----BEGIN PRIVATE KEY-----"
                .into(),
        )
    })
}

/// The DNS names that a host can have; others (addresses, mail) select no certificate here.
fn names(certificate: &X509Certificate<'_>) -> Result<Vec<HostPattern>, Problem> {
    let listed = certificate
        .subject_alternative_name()
        .map_err(|_| unreadable("subjectAltName"))?;
    let listed = listed.iter().flat_map(|names| &names.value.general_names);
    let dns_names = listed.filter_map(|name| {
        if let GeneralName::DNSName(name) = name {
            Some(*name).filter(|name| !name.is_empty())
        } else {
            None
        }
    });
    let mut names: Vec<HostPattern> = dns_names
        .filter_map(|name| HostPattern::parse(name).ok())
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.len() > MAX_NAMES {
        return Err(Problem::Chain(format!(
            "is for more than {MAX_NAMES} names; use several certificates"
        )));
    }
    Ok(names)
}

fn key_type(certificate: &X509Certificate<'_>) -> Result<KeyType, Problem> {
    let spki = certificate.public_key();
    if spki.algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519 {
        return Ok(KeyType::Ed25519);
    }
    let key = spki.parsed().map_err(|_| unreadable("its public key"))?;
    match key {
        PublicKey::RSA(key) if key.key_size() < MIN_RSA => Err(Problem::Chain(format!(
            "has an RSA key of {} bits, which clients refuse; use one of at least {MIN_RSA}, or \
             ECDSA P-256",
            key.key_size()
        ))),
        PublicKey::RSA(_) => Ok(KeyType::Rsa),
        PublicKey::EC(_) => Ok(KeyType::Ecdsa),
        PublicKey::DSA(_)
        | PublicKey::GostR3410(_)
        | PublicKey::GostR3410_2012(_)
        | PublicKey::Unknown(_) => Err(Problem::Chain(
            "has a key of no type that can be used; use ECDSA P-256, P-384, RSA or Ed25519".into(),
        )),
    }
}

fn no_certificate() -> Problem {
    Problem::Chain(
        "has no certificate in PEM; give the chain, as in -----BEGIN CERTIFICATE-----".into(),
    )
}

fn unreadable(what: &str) -> Problem {
    Problem::Chain(format!(
        "cannot be read: {what} is damaged or no X.509; issue it anew"
    ))
}

fn timestamp(time: ASN1Time) -> Timestamp {
    Timestamp(time.timestamp().saturating_mul(1000))
}

/// Other people's texts, for people.
fn bounded(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(MAX_TEXT))
        .unwrap_or_default()
        .into()
}

/// What the proxies take.
const MAX_BYTES: usize = 256 << 10;
/// Of a chain, and of a key: what can be read of one at most.
pub const MAX_PEM: usize = 512 << 10;
const MAX_CHAIN: usize = 16;
const MAX_NAMES: usize = 1000;
/// In bits.
const MIN_RSA: usize = 2048;
const MAX_TEXT: usize = 256;

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        SignatureAlgorithm,
    };

    use super::*;

    fn self_signed(names: &[&str], algorithm: &'static SignatureAlgorithm) -> (String, String) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn problem(chain: &str, key: &str) -> Problem {
        read(chain.as_bytes(), key.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_certificate_is_read_with_its_names_and_its_bundle_has_the_key() {
        let names = ["b.example", "*.A.example", "192.0.2.1", "b.example"];
        for (algorithm, key_type) in [
            (&PKCS_ECDSA_P256_SHA256, KeyType::Ecdsa),
            (&PKCS_ECDSA_P384_SHA384, KeyType::Ecdsa),
            (&PKCS_ED25519, KeyType::Ed25519),
        ] {
            let (chain, key) = self_signed(&names, algorithm);
            let (certificate, bundle) = read(chain.as_bytes(), key.as_bytes()).unwrap();
            let texts: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
            assert_eq!(texts, ["b.example", "*.a.example"]);
            assert_eq!(certificate.key_type, key_type);
            assert_eq!(certificate.bundle, bundle.name());
            assert!(certificate.not_before < certificate.not_after);
            // The same bytes have the same name, whatever stands around them.
            let again = format!("comment\n{chain}\n");
            let (again, _) = read(again.as_bytes(), key.as_bytes()).unwrap();
            assert_eq!(again, certificate);
        }
    }

    #[test]
    fn what_cannot_be_served_is_told_apart_and_shows_nothing_of_the_key() {
        let (chain, key) = self_signed(&["a.example"], &PKCS_ECDSA_P256_SHA256);
        let (other, other_key) = self_signed(&["a.example"], &PKCS_ECDSA_P256_SHA256);
        assert!(
            matches!(problem(&chain, &other_key), Problem::Key(text) if text.contains("is not the key"))
        );
        assert!(matches!(problem(&chain, ""), Problem::Key(_)));
        assert!(matches!(problem(&chain, &chain), Problem::Key(_)));
        assert!(
            matches!(problem("", &key), Problem::Chain(text) if text.contains("no certificate"))
        );
        assert!(matches!(problem(&key, &key), Problem::Chain(_)));
        let long = other.repeat(MAX_CHAIN + 1);
        assert!(
            matches!(problem(&long, &other_key), Problem::Chain(text) if text.contains("more than 16"))
        );
        let cut = chain.replace('A', "!");
        assert!(matches!(problem(&cut, &key), Problem::Chain(_)));
        for broken in [
            key.replace("PRIVATE", "ENCRYPTED PRIVATE"),
            key.replace('M', "?"),
        ] {
            let Problem::Key(text) = problem(&chain, &broken) else {
                panic!("the chain is good");
            };
            let mut lines = broken.lines().filter(|line| !line.starts_with('-'));
            assert!(lines.all(|line| !text.contains(line)));
        }
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        let read = |name: &str| std::fs::read(format!("tests/certificates/{name}")).unwrap();
        let refused = super::read(&read("rsa-1024.crt"), &read("rsa-1024.key"));
        assert!(matches!(refused, Err(Problem::Chain(text)) if text.contains("1024 bits")));
        let (certificate, _) = super::read(&read("rsa-2048.crt"), &read("rsa-2048.key")).unwrap();
        assert_eq!(certificate.key_type, KeyType::Rsa);
    }
}
