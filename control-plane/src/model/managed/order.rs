//! An order, and the proofs that its CA wants.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// An order (RFC 8555, section 7.1.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The CA's directory.
    pub ca: Box<str>,
    pub begun: Timestamp,
    pub step: Step,
    /// The CA is not asked before.
    #[serde(default)]
    pub not_before: Timestamp,
    /// By which way the CA was told that it can find out that the hosts are ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<ChallengeType>,
}

/// How far an order has come. What follows from each is one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Step {
    /// Its key is kept. Whether the CA knows of it is not known before it answers.
    Intended,
    /// The CA knows of it by this URL.
    Placed { url: Box<str> },
    /// The CA wants proof that the hosts are ours.
    Proving { url: Box<str>, proofs: Vec<Proof> },
    /// Proof was given.
    Ready { url: Box<str> },
    /// The CA was given the certificate's key, and is issuing.
    Issuing { url: Box<str> },
    /// The certificate can be had.
    Issued { url: Box<str> },
}

/// Proof that one host is ours: an authorization (RFC 8555, section 7.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    pub url: Box<str>,
    pub progress: Progress,
}

/// How far a proof has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Progress {
    /// The CA is to be answered by this.
    Open(Challenge),
    /// The CA was told that it is.
    Asked(Challenge),
    Proved,
}

/// By which way a CA finds out that a host is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ChallengeType {
    /// It asks by HTTP, on port 80 (RFC 8555, section 8.3).
    #[default]
    #[serde(rename = "http-01")]
    Http01,
    /// It asks in a TLS handshake, on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// It looks for a record in the DNS (RFC 8555, section 8.4): the only way for wildcards.
    #[serde(rename = "dns-01")]
    Dns01,
}

/// What a CA finds at a host that is ours (RFC 8555, section 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Challenge {
    #[serde(default, rename = "type")]
    pub challenge_type: ChallengeType,
    pub host: Box<str>,
    pub token: Box<str>,
    pub key_authorization: Box<str>,
}

impl ChallengeType {
    pub const ALL: [Self; 3] = [Self::Http01, Self::TlsAlpn01, Self::Dns01];
}

/// As the standards write it.
impl fmt::Display for ChallengeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Dns01 => "dns-01",
        })
    }
}

impl Step {
    /// The order's URL, once the CA gave it one.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Intended => None,
            Self::Placed { url }
            | Self::Proving { url, .. }
            | Self::Ready { url }
            | Self::Issuing { url }
            | Self::Issued { url } => Some(url),
        }
    }
}

impl Proof {
    /// Whether the CA is still to be told that it can validate.
    pub fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Open(_))
    }
}
