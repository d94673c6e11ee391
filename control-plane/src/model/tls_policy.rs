//! How the connections of a listener are encrypted.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::key::{Kind, ObjectKey, Origin};

/// What a client has to agree to. Default: TLS 1.2 and 1.3 by all that proxies have, with tickets,
/// and nothing for a client whose host has no certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TlsPolicy {
    pub minimum_version: TlsVersion,
    /// None: all.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub cipher_suites: BTreeSet<CipherSuite>,
    /// Clients may resume their sessions.
    pub session_tickets: bool,
    /// Whose certificate is shown to who asks for a host that has none, or for no host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_certificate: Option<DefaultCertificate>,
}

/// What has a certificate that is shown to those whose host has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DefaultCertificate {
    /// A Secret, wherever it comes from.
    Secret { namespace: Box<str>, name: Box<str> },
    /// Files that the configuration knows by this name.
    Files(Box<str>),
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    #[default]
    #[serde(rename = "TLSv1.2")]
    Tls12,
    #[serde(rename = "TLSv1.3")]
    Tls13,
}

/// A cipher suite that proxies have, by its name at IANA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CipherSuite {
    #[serde(rename = "TLS_AES_128_GCM_SHA256")]
    Aes128,
    #[serde(rename = "TLS_AES_256_GCM_SHA384")]
    Aes256,
    #[serde(rename = "TLS_CHACHA20_POLY1305_SHA256")]
    ChaCha20,
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")]
    EcdsaAes128,
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")]
    EcdsaAes256,
    #[serde(rename = "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")]
    EcdsaChaCha20,
    #[serde(rename = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")]
    RsaAes128,
    #[serde(rename = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384")]
    RsaAes256,
    #[serde(rename = "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256")]
    RsaChaCha20,
}

impl TlsPolicy {
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The Secrets with the certificate for clients whose host has none: of each source, for the
    /// name is the same.
    pub fn default_secrets(&self) -> impl Iterator<Item = ObjectKey> {
        let (origins, namespace, name) = match &self.default_certificate {
            Some(DefaultCertificate::Secret { namespace, name }) => {
                let origins = &[Origin::Folder, Origin::Kubernetes][..];
                (origins, &**namespace, &**name)
            }
            Some(DefaultCertificate::Files(name)) => (&[Origin::Configuration][..], "", &**name),
            None => (&[][..], "", ""),
        };
        origins.iter().map(move |origin| ObjectKey {
            origin: *origin,
            kind: Kind::Secret,
            namespace: namespace.into(),
            name: name.into(),
        })
    }
}

impl Default for TlsPolicy {
    fn default() -> Self {
        Self {
            minimum_version: TlsVersion::default(),
            cipher_suites: BTreeSet::new(),
            session_tickets: true,
            default_certificate: None,
        }
    }
}

impl CipherSuite {
    /// At IANA.
    pub fn number(self) -> u16 {
        match self {
            Self::Aes128 => 0x1301,
            Self::Aes256 => 0x1302,
            Self::ChaCha20 => 0x1303,
            Self::EcdsaAes128 => 0xc02b,
            Self::EcdsaAes256 => 0xc02c,
            Self::RsaAes128 => 0xc02f,
            Self::RsaAes256 => 0xc030,
            Self::RsaChaCha20 => 0xcca8,
            Self::EcdsaChaCha20 => 0xcca9,
        }
    }

    /// Whether it goes with TLS 1.3, and with that alone.
    pub fn is_of_13(self) -> bool {
        matches!(self, Self::Aes128 | Self::Aes256 | Self::ChaCha20)
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;

    use super::*;

    const ALL: [CipherSuite; 9] = [
        CipherSuite::Aes128,
        CipherSuite::Aes256,
        CipherSuite::ChaCha20,
        CipherSuite::EcdsaAes128,
        CipherSuite::EcdsaAes256,
        CipherSuite::EcdsaChaCha20,
        CipherSuite::RsaAes128,
        CipherSuite::RsaAes256,
        CipherSuite::RsaChaCha20,
    ];

    #[test]
    fn the_suites_are_those_that_proxies_have_by_their_names_and_numbers() {
        let ours = ALL.map(|suite| {
            let name = serde_json::to_value(suite).unwrap();
            let name = name.as_str().unwrap().to_owned();
            (suite.number(), name, suite.is_of_13())
        });
        let theirs = ALL_CIPHER_SUITES.iter().map(|suite| {
            // rustls tells those of TLS 1.3 apart by a name of its own.
            let name = format!("{:?}", suite.suite()).replace("TLS13_", "TLS_");
            (suite.suite().into(), name, suite.tls13().is_some())
        });
        let theirs: BTreeSet<(u16, String, bool)> = theirs.collect();
        assert_eq!(BTreeSet::from(ours), theirs);
    }
}
