//! Who a client certificate is of, and what else it says.
//!
//! Apart from who signs it, because both ends must mean the same by a name: it stands in the
//! certificate as a URI in the form of SPIFFE IDs.

use std::fmt;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::model::time::Timestamp;
use crate::pki::LIFETIME;

/// The holder of a client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The proxies of a node.
    Proxy { node: Box<str> },
    /// A replica of the control plane.
    Replica { name: Box<str> },
}

impl Subject {
    /// The proxies of this node; none if it is no name that a node can have.
    pub fn proxy(node: &str) -> Option<Self> {
        is_name(node).then(|| Self::Proxy { node: node.into() })
    }

    /// The replica of this name; none if it is no name that a pod can have.
    pub fn replica(name: &str) -> Option<Self> {
        is_name(name).then(|| Self::Replica { name: name.into() })
    }

    /// The name of the node or the replica.
    pub fn name(&self) -> &str {
        match self {
            Self::Proxy { node: name } | Self::Replica { name } => name,
        }
    }

    fn parse(uri: &str) -> Option<Self> {
        let (role, name) = uri.strip_prefix(SUBJECT)?.split_once('/')?;
        match role {
            PROXY => Self::proxy(name),
            REPLICA => Self::replica(name),
            _ => None,
        }
    }

    /// Whether a stream of this name may be opened by the holder: a node's own name, or that
    /// and more after a slash, where a node has several proxies.
    pub fn may_stream_as(&self, proxy: &str) -> bool {
        match self {
            Self::Proxy { node } => proxy
                .strip_prefix(&**node)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Replica { .. } => false,
        }
    }
}

/// The URI.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proxy { node } => write!(f, "{SUBJECT}{PROXY}/{node}"),
            Self::Replica { name } => write!(f, "{SUBJECT}{REPLICA}/{name}"),
        }
    }
}

/// What a client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    pub subject: Subject,
    /// When the subject was last proven by something else than a certificate.
    pub proven: Timestamp,
    /// When the certificate ends; at the latest when one ends that is signed now.
    pub expires: Timestamp,
}

impl Credential {
    /// Reads a certificate that was verified; none if it is not of a client of ours.
    pub fn read(certificate: &[u8], now: Timestamp) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        let expires = certificate.validity().not_after.timestamp();
        let names = certificate.subject_alternative_name().ok()??;
        let uris = names.value.general_names.iter().filter_map(|name| {
            if let GeneralName::URI(uri) = name {
                Some(*uri)
            } else {
                None
            }
        });
        let mut subjects = uris.clone().filter_map(Subject::parse);
        let mut proofs = uris.filter_map(|uri| uri.strip_prefix(PROVEN)?.parse::<i64>().ok());
        let (subject, proven) = (subjects.next()?, proofs.next()?);
        // We write one of each.
        let alone = subjects.next().is_none() && proofs.next().is_none();
        alone.then_some(Self {
            subject,
            proven: Timestamp(proven.saturating_mul(1000)),
            // Whoever once had the key of an authority could write what he likes.
            expires: Timestamp(
                expires
                    .saturating_mul(1000)
                    .min(now.0.saturating_add(LIFETIME)),
            ),
        })
    }

    /// The URIs that say so.
    pub(super) fn uris(subject: &Subject, proven: Timestamp) -> [String; 2] {
        [
            subject.to_string(),
            format!("{PROVEN}{}", proven.0.div_euclid(1000)),
        ]
    }
}

/// The names of nodes and pods are DNS subdomains (RFC 1123).
fn is_name(name: &str) -> bool {
    let fit =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
    (1..=LONGEST).contains(&name.len()) && name.bytes().all(fit)
}

const SUBJECT: &str = "spiffe://roadstead/";
const PROXY: &str = "proxy";
const REPLICA: &str = "replica";
const PROVEN: &str = "urn:roadstead:proven:";
const LONGEST: usize = 253;

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    use super::*;
    use crate::pki::Request;
    use crate::pki::rotation::Stored;

    #[test]
    fn a_name_is_read_back_and_nothing_else_is_taken_for_one() {
        for subject in [
            Subject::proxy("node-1.example").unwrap(),
            Subject::replica("roadstead-0").unwrap(),
        ] {
            assert_eq!(Subject::parse(&subject.to_string()), Some(subject));
        }
        for uri in [
            "spiffe://roadstead/proxy/",
            "spiffe://roadstead/proxy/a/b",
            "spiffe://roadstead/proxy/a%2fb",
            "spiffe://roadstead/operator/a",
            "spiffe://elsewhere/proxy/a",
            "spiffe://roadstead/proxy",
            "https://roadstead/proxy/a",
        ] {
            assert_eq!(Subject::parse(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_certificate_lasts_no_longer_than_its_key_could_say_and_than_its_proof() {
        let now = Timestamp(1_760_000_000_000);
        let authorities = Stored::first(now).unwrap().authorities().unwrap();
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let request = CertificateParams::default().serialize_request(&key);
        let request = Request::parse(request.unwrap().der()).unwrap();
        let node = Subject::proxy("node-1").unwrap();
        let answer = |proven: Timestamp, life| {
            let signing = authorities.signing();
            let pem = signing.answer(&request, &node, proven, now, life).unwrap();
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            Credential::read(&der, now).unwrap()
        };
        let credential = answer(now, LIFETIME / 7);
        let day = Timestamp(now.0 + LIFETIME / 7);
        assert_eq!((credential.expires, credential.proven), (day, now));
        // A day before a token is needed again.
        let proven = Timestamp(now.0 - 6 * LIFETIME / 7);
        assert_eq!(answer(proven, LIFETIME).expires, day);
        // Another authority, or another release, may say more than this one would.
        let far = Timestamp(now.0 + LIFETIME);
        assert_eq!(answer(far, 2 * LIFETIME).expires, far);
    }

    #[test]
    fn a_certificate_streams_under_the_names_of_its_node_only() {
        let node = Subject::proxy("node-1").unwrap();
        for (name, may) in [
            ("node-1", true),
            ("node-1/pod-a", true),
            ("node-10", false),
            ("node", false),
            ("", false),
            ("node-2/node-1", false),
        ] {
            assert_eq!(node.may_stream_as(name), may, "{name}");
        }
        assert!(!Subject::replica("node-1").unwrap().may_stream_as("node-1"));
    }
}
