//! What is known of a certificate, without its key.
//!
//! Apart from the key: what is stored and sent in snapshots has only the name of a
//! [bundle](crate::model::bundle).

use std::fmt;

use roadstead_matcher::host::HostPattern;
use serde::{Deserialize, Serialize};

use crate::model::bundle::BundleName;
use crate::model::time::Timestamp;

/// A certificate that can be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Certificate {
    /// By what chain and key are found.
    #[serde(with = "crate::model::bundle::name_as_text")]
    pub bundle: BundleName,
    /// The DNS names that it is for (RFC 5280, section 4.2.1.6), sorted; of wildcards only those
    /// for one whole label. Names that no host can have are left out.
    #[serde(with = "crate::model::hosts")]
    pub names: Vec<HostPattern>,
    pub key_type: KeyType,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    /// Who issued it, as RFC 4514 writes names.
    pub issuer: Box<str>,
    /// Its number, in hexadecimal digits.
    pub serial: Box<str>,
}

impl Certificate {
    /// Whether a client that asks for this host accepts the certificate for it. A wildcard is
    /// covered by itself alone.
    pub fn covers(&self, host: &HostPattern) -> bool {
        self.names.iter().any(|name| name.covers(host))
    }
}

/// The algorithm of a certificate's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum KeyType {
    Rsa,
    Ecdsa,
    Ed25519,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::Ecdsa => "ECDSA",
            Self::Ed25519 => "Ed25519",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_one_label_and_itself() {
        let host = |text: &str| HostPattern::parse(text).unwrap();
        let certificate = Certificate {
            bundle: BundleName::of(b"bundle"),
            names: vec![host("*.a.example"), host("b.example")],
            key_type: KeyType::Ecdsa,
            not_before: Timestamp(0),
            not_after: Timestamp(1),
            issuer: "CN=issuer".into(),
            serial: "01".into(),
        };
        for (text, covered) in [
            ("x.a.example", true),
            ("*.a.example", true),
            ("b.example", true),
            ("a.example", false),
            ("x.y.a.example", false),
            ("*.b.example", false),
            ("", false),
        ] {
            assert_eq!(certificate.covers(&host(text)), covered, "{text}");
        }
        let stored = serde_json::to_string(&certificate).unwrap();
        assert_eq!(
            serde_json::from_str::<Certificate>(&stored).unwrap(),
            certificate
        );
    }
}
